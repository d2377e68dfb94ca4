"""A semantic cache: an answer is found again for every query that is like the one it was given to.

Rules:
1. A hit is the nearest entry, when its cosine is at least `threshold`; the search is exact.
2. Each entry knows the tenant that put it in. That is told to the history, not to the caller.
3. With a partition an entry is found by its own tenant (or trial) alone; what the suite declares
   for all tenants is found by everyone.
4. When `max_entries` are held, the one that was not found for longest goes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.services.embedding import Vector, make_embedding
from proofrig.services.service import (
    EVERYONE,
    Arguments,
    Ask,
    Caller,
    Clock,
    Done,
    Json,
    Operation,
    Service,
    StoreSettings,
    fingerprint,
    nanoseconds,
    text_of,
    too_large,
)
from proofrig.services.vectors import Index, index_for

Query = Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]


class CacheSeed(BaseModel):
    """An entry that is there from the beginning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(min_length=1)
    answer: Json


class CacheSettings(StoreSettings):
    """A semantic cache."""

    type: Literal["semantic_cache"]
    threshold: float = Field(0.85, ge=-1, le=1, description="The least cosine of a hit.")
    embedding: str = Field("hashed", description="`hashed`, `sentence`, or another package's.")
    model: str | None = Field(None, description="The embedding's model; its own by default.")
    seed: dict[str, list[CacheSeed]] = Field(
        {}, description="Tenant, or `*` for all of them, to its first entries."
    )


class CacheGet(Arguments):
    """Look for the answer to a query that was asked before, in these or in similar words."""

    query: Query


class CachePut(Arguments):
    """Keep the answer to a query, for whoever asks the like of it."""

    query: Query
    answer: Json


class _Entry(msgspec.Struct):
    id: str
    number: int
    place: str  # the partition; empty: found by everyone
    answer: Any
    owner: str
    public: bool
    expires: int | None


class SemanticCache(Service):
    """A semantic cache. Raises UsageError when its embedding cannot be loaded."""

    operations: ClassVar[Mapping[str, Operation]] = {
        "get": Operation("get", "cache.get", CacheGet, mutates=False),
        "put": Operation("put", "cache.put", CachePut),
    }

    def __init__(self, settings: CacheSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._embedding = make_embedding(settings.embedding, settings.model)
        self._entries: OrderedDict[int, _Entry] = OrderedDict()  # longest unused first
        self._indexes: dict[str, Index] = {}
        self._count = 0
        for tenant, entries in settings.seed.items():
            self._seed(tenant, entries)

    def started(self, caller: Caller, arguments: Any) -> dict[str, Any]:
        said: dict[str, Any] = {"key": fingerprint(arguments.query)}
        place = self._place(caller, arguments.query)
        if place:
            said["physical"] = f"{place}/{said['key']}"
        if isinstance(arguments, CachePut):
            said["entry"] = self._next_id()
        return said

    def get(self, ask: Ask) -> Done | Awaitable[Done]:
        if self._embedding.slow:
            return self._later(ask, self._find)
        return self._find(ask, self._embed(ask.arguments.query))

    def put(self, ask: Ask) -> Done | Awaitable[Done]:
        size = self._settings.max_value_bytes
        refusal = too_large(self.name, ask.arguments.answer, size)
        if refusal is not None:
            return refusal
        if self._embedding.slow:
            return self._later(ask, self._keep)
        return self._keep(ask, self._embed(ask.arguments.query))

    def flush(self) -> int:
        """Forget every entry; how many there were."""
        self._drop_expired()
        numbers = list(self._entries)
        for number in numbers:
            self._drop(number)
        self.note("flushed", {"service": self.name, "entries": len(numbers)})
        return len(numbers)

    def _embed(self, query: str) -> Vector:
        return self._embedding.embed([query])[0]

    async def _later(self, ask: Ask, then: Any) -> Done:
        vector = await asyncio.to_thread(self._embed, ask.arguments.query)
        done: Done = then(ask, vector)
        return done

    def _find(self, ask: Ask, vector: Vector) -> Done:
        self._drop_expired()
        number, similarity = -1, 0.0
        for place in {"", self._place(ask.caller, ask.arguments.query)}:
            index = self._indexes.get(place)
            found = index.nearest(vector) if index is not None else (-1, 0.0)
            if (found[1], found[0]) > (similarity, number):
                number, similarity = found
        told = round(similarity, 6)
        entry = self._entries.get(number)
        if entry is None or similarity < self._settings.threshold - 1e-9:
            return Done({"hit": False}, {"hit": False, "similarity": told})
        self._entries.move_to_end(number)
        attrs: dict[str, Any] = {"hit": True, "entry": entry.id, "similarity": told}
        if entry.owner:
            attrs["owner"] = entry.owner
        if entry.public:
            attrs["public"] = True
        result = {"hit": True, "answer": entry.answer, "similarity": told}
        return Done(result, attrs, text=text_of(entry.answer))

    def _keep(self, ask: Ask, vector: Vector) -> Done:
        query, caller = ask.arguments.query, ask.caller
        public = self.is_public(query)
        entry = self._entry(ask.started["entry"], caller.tenant, ask.arguments.answer, public)
        entry.place = self._place(caller, query)
        self._add(entry, vector)
        return Done({"entry": entry.id}, {"public": True} if public else {})

    def _place(self, caller: Caller, query: str) -> str:
        return "" if self.is_public(query) else self.physical(caller, "")

    def _next_id(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def _entry(self, id: str, owner: str, answer: Any, public: bool) -> _Entry:
        ttl = self._settings.ttl_s
        expires = self._clock() + nanoseconds(ttl) if ttl else None
        return _Entry(id, int(id.rpartition("-")[2]), "", answer, owner, public, expires)

    def _add(self, entry: _Entry, vector: Vector) -> None:
        self._drop_expired()
        cap = self._settings.max_entries
        while cap is not None and len(self._entries) >= cap:
            self._drop(next(iter(self._entries)))
        if entry.place not in self._indexes:
            self._indexes[entry.place] = index_for(vector)
        self._indexes[entry.place].add(entry.number, vector)
        self._entries[entry.number] = entry

    def _drop_expired(self) -> None:
        if self._settings.ttl_s is None:
            return
        now = self._clock()
        over = [n for n, entry in self._entries.items() if entry.expires and entry.expires <= now]
        for number in over:
            self._drop(number)

    def _drop(self, number: int) -> None:
        entry = self._entries.pop(number)
        self._indexes[entry.place].remove(number)

    def _seed(self, tenant: str, entries: list[CacheSeed]) -> None:
        everyone = tenant == EVERYONE
        vectors = self._embedding.embed([one.query for one in entries])
        for one, vector in zip(entries, vectors, strict=True):
            public = everyone or self.is_public(one.query)
            owner = "" if everyone else tenant
            entry = self._entry(self._next_id(), owner, one.answer, public)
            if self._partition != "none" and not public:
                entry.place = tenant
            self._add(entry, vector)
