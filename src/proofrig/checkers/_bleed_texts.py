"""Which texts of a history are searched for other tenants' marks, and what is found in them.

Rules:
1. A place says how a text came to a tenant: what a shared service gave out is nearest to the cause,
   then a tool's result, then the prompt, then what the tenant's agent said itself.
2. A text is searched once, however often it comes by; what is remembered of it is bounded.
3. Texts wait until a batch is full, so that canaries that are planted along the way are searched
   together. A canary is on the history before any text that can hold it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from proofrig.canaries.canary import Canary, planted
from proofrig.canaries.detect import Detector, Hit, Stream
from proofrig.history.action import Action, Entry
from proofrig.history.payloads import digest_of

READ, RESULT, PROMPT, SAID = range(4)
WORDS = ("read from a shared service", "in a tool's result", "in the prompt", "said by the agent")
BATCH = 5_000  # texts that wait
REMEMBERED = 100_000  # texts whose hits are kept
SHORT = 400  # characters of an inline text that is remembered as it is
BLAKE2 = "blake2:"

GIVES_OUT = frozenset(("kv.get", "kv.incr", "kv.append", "cache.get", "queue.receive", "file.read"))


class Place(msgspec.Struct, frozen=True, gc=False):
    """A text and where it stands. `digest` when it is a payload, else `text`."""

    rank: int
    action: Action | Entry
    trial: str
    tenant: str
    text: str = ""
    digest: str = ""
    public: bool = False


class TrialEnd(msgspec.Struct, frozen=True, gc=False):
    """Between the texts: nothing more comes of this trial."""

    trial: str


def places_of(action: Action, tenant: str) -> Iterator[Place]:
    """Every text of an action."""
    for entry in (action.reserve, action.start, action.end):
        if entry is None:
            continue
        for rank, attr in _searched(action.name, entry):
            value = entry.attrs.get(attr)
            if not isinstance(value, str) or not value:
                continue
            inline = attr in ("text", "error") or (attr == "value" and not value.startswith(BLAKE2))
            yield Place(
                rank,
                action,
                action.trial,
                tenant,
                text=value if inline else "",
                digest="" if inline else value.removeprefix(BLAKE2),
                public=rank == READ and bool(action.attr("public")),
            )


def answer_of(entry: Entry) -> Iterator[Place]:
    """The answer of a trial that has ended."""
    value = entry.attrs.get("answer")
    if isinstance(value, str) and value:
        yield Place(SAID, entry, entry.trial, entry.tenant, digest=value)


def _searched(name: str, entry: Entry) -> tuple[tuple[int, str], ...]:
    if name.startswith("llm."):
        return ((PROMPT, "request"), (SAID, "response"))
    if name.startswith("tool."):
        return ((RESULT, "result"), (RESULT, "error"), (SAID, "arguments"))
    rank = READ if name in GIVES_OUT and entry.kind == "commit" else SAID
    whole = [attr for attr in ("text", "payload") if attr in entry.attrs]
    return tuple((rank, attr) for attr in whole or ("value",))


class Search:
    """Finds canaries in places, batch by batch, and hands both to `found` in the order given."""

    def __init__(
        self,
        payload: Callable[[str], bytes | None],
        found: Callable[[Place, list[Hit]], None],
        *,
        batch: int = BATCH,
        remembered: int = REMEMBERED,
    ) -> None:
        self.canaries: dict[Canary, None] = {}
        self.owners: set[str] = set()
        self.texts = self.bytes = self.missing = 0
        self._payload = payload
        self._found = found
        self._batch, self._most = batch, remembered
        self._waiting: list[Place | TrialEnd] = []
        self._detector = Detector(())
        self._remembered: OrderedDict[str, tuple[Hit, ...]] = OrderedDict()
        self._streams: dict[tuple[str, int], Stream] = {}

    def plant(self, attrs: dict[str, Any]) -> None:
        """A canary to look for, in what waits and what comes."""
        canary = planted(attrs)
        self.canaries[canary] = None
        self.owners.add(canary.tenant)

    def add(self, item: Place | TrialEnd) -> None:
        """A text to search, when its batch is full."""
        self._waiting.append(item)
        if len(self._waiting) >= self._batch:
            self.flush()

    def hits_in(self, text: str) -> list[Hit]:
        """The canaries in a text that is no place: what a trial was asked."""
        return self._detector.scan(text)

    def flush(self) -> None:
        """Search everything that waits."""
        waiting, self._waiting = self._waiting, []
        if len(self._detector.canaries) < len(self.canaries):
            self._detector = Detector(self.canaries)
            for stream in self._streams.values():
                stream.detector = self._detector
        for item in waiting:
            if isinstance(item, TrialEnd):
                self._streams.pop((item.trial, READ), None)
                self._streams.pop((item.trial, RESULT), None)
            elif self.canaries:
                self._search(item)

    def _search(self, place: Place) -> None:
        data: str | bytes | None = place.text or self._payload(place.digest)
        if data is None:
            self.missing += 1
            return
        key = place.digest
        if not key:
            key = place.text if len(place.text) <= SHORT else digest_of(place.text.encode())
        hits = self._remembered.get(key)
        if hits is None:
            hits = tuple(self._detector.scan(data))
            self.texts += 1
            self.bytes += len(data)
            self._remembered[key] = hits
            if len(self._remembered) > self._most:
                self._remembered.popitem(last=False)
        found = list(hits)
        if place.rank in (READ, RESULT) and place.trial:
            stream = self._streams.get((place.trial, place.rank))
            if stream is None:
                stream = self._streams[place.trial, place.rank] = Stream(self._detector)
            found += stream.across(data, hits)
        self._found(place, found)
