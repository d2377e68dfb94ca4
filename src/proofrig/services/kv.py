"""Key-value memory with compare-and-set: what agents remember for themselves and for each other.

Rules:
1. The version of a key begins at 1 and grows by one with each write, a delete included; 0 is a key
   that never was. Running out of time is no write.
2. `cas` writes only where the version is still the expected one.
3. With `fencing`, a key accepts no write under a lower token than the highest it has accepted, and
   none without a token once it has accepted one.
4. When `max_entries` are held a new key is refused; nothing is evicted.
5. `flush` takes all values away, as if their time were up: versions and fencing tokens stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import Field

from proofrig.services.service import (
    EVERYONE,
    Arguments,
    Ask,
    Caller,
    Clock,
    Done,
    Json,
    Key,
    Operation,
    Service,
    StoreSettings,
    fingerprint,
    nanoseconds,
    refused,
    text_of,
    too_large,
)


class KvSettings(StoreSettings):
    """A key-value memory."""

    type: Literal["kv"]
    fencing: bool = Field(False, description="Refuse writes under an older fencing token.")
    seed: dict[str, dict[str, Json]] = Field(
        {}, description="Tenant, or `*` for all of them, to its first entries."
    )


class Get(Arguments):
    """Read the value of a key and its version; null when there is none."""

    key: Key


class Write(Arguments, kw_only=True):
    """What every write takes: the key, and the fencing token under which it is done."""

    key: Key
    fencing: int | None = None

    def started(self) -> dict[str, Any]:
        return {} if self.fencing is None else {"fencing": self.fencing}


class Put(Write, kw_only=True):
    """Write a value, whatever is there."""

    value: Json

    def started(self) -> dict[str, Any]:
        return {"value": fingerprint(self.value)} | super().started()


class Cas(Write, kw_only=True):
    """Write a value only if the key still has the expected version (0: it never had a value)."""

    value: Json
    expected: int

    def started(self) -> dict[str, Any]:
        said = {"value": fingerprint(self.value), "expected": self.expected}
        return said | super().started()


class Delete(Write):
    """Remove a key."""


class Incr(Write):
    """Add a number to the one that is there, in one step; an absent one counts as 0."""

    value: int = 1

    def started(self) -> dict[str, Any]:
        return {"value": fingerprint(self.value)} | super().started()


class Append(Write, kw_only=True):
    """Add an element to the list that is there, in one step; an absent one counts as empty."""

    value: Json

    def started(self) -> dict[str, Any]:
        return {"value": fingerprint(self.value)} | super().started()


class _Slot(msgspec.Struct):
    """A key. value: None when it has none."""

    value: Any = None
    version: int = 0
    owner: str = ""
    expires: int = 0  # nanoseconds since the run began; 0: never
    fencing: int | None = None  # the highest that was accepted
    public: bool = False


class KvService(Service):
    """A key-value memory."""

    operations: ClassVar[Mapping[str, Operation]] = {
        "get": Operation("get", "kv.get", Get, mutates=False),
        "put": Operation("put", "kv.put", Put),
        "cas": Operation("cas", "kv.cas", Cas),
        "delete": Operation("delete", "kv.delete", Delete),
        "incr": Operation("incr", "kv.incr", Incr),
        "append": Operation("append", "kv.append", Append),
    }

    def __init__(self, settings: KvSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self._settings = settings
        self._slots: dict[str, _Slot] = {}
        self._held = 0  # keys that have a value
        self._seeded: set[str] = set()
        if settings.partition == "none":
            for tenant, entries in _everyone_first(settings.seed):
                self._seed(Caller("", tenant), entries, public=tenant == EVERYONE)

    def get(self, ask: Ask) -> Done:
        slot = self._slot(ask)
        attrs: dict[str, Any] = {"value": fingerprint(slot.value), "version": slot.version}
        if slot.value is None:
            return Done({"value": None, "version": slot.version}, attrs)
        if slot.owner:
            attrs["owner"] = slot.owner
        if slot.public:
            attrs["public"] = True
        result = {"value": slot.value, "version": slot.version}
        return Done(result, attrs, text=text_of(slot.value))

    def put(self, ask: Ask) -> Done:
        return self._write(ask, self._slot(ask), ask.arguments.value)

    def cas(self, ask: Ask) -> Done:
        slot, expected = self._slot(ask), ask.arguments.expected
        if slot.version != expected:
            return refused(
                f"{ask.arguments.key}: expected version {expected}, it is {slot.version}; read it "
                "again and decide anew",
                version=slot.version,
            )
        return self._write(ask, slot, ask.arguments.value)

    def delete(self, ask: Ask) -> Done:
        slot = self._slot(ask)
        if slot.value is None:
            return Done({"version": slot.version}, {"version": slot.version})
        return self._write(ask, slot, None)

    def incr(self, ask: Ask) -> Done:
        slot = self._slot(ask)
        now = 0 if slot.value is None else slot.value
        if not isinstance(now, int | float) or isinstance(now, bool):
            return refused(f"{ask.arguments.key}: expected a number, it is {_kind(now)}")
        return self._write(ask, slot, now + ask.arguments.value, tell=True)

    def append(self, ask: Ask) -> Done:
        slot = self._slot(ask)
        now = [] if slot.value is None else slot.value
        if not isinstance(now, list):
            return refused(f"{ask.arguments.key}: expected a list, it is {_kind(now)}")
        return self._write(ask, slot, [*now, ask.arguments.value], tell=True)

    def flush(self) -> int:
        """Forget every value; how many there were."""
        held = [slot for slot in self._slots.values() if slot.value is not None]
        for slot in held:
            slot.value, slot.owner, slot.public = None, "", False
        self._held = 0
        self.note("flushed", {"service": self.name, "entries": len(held)})
        return len(held)

    def _write(self, ask: Ask, slot: _Slot, value: Any, *, tell: bool = False) -> Done:
        refusal = self._refusal(ask, slot, value)
        if refusal is not None:
            return refusal
        self._held += (value is not None) - (slot.value is not None)
        slot.value = value
        slot.version += 1
        slot.owner = ask.caller.tenant
        slot.public = self.is_public(ask.arguments.key)
        slot.expires = self._expiry()
        if ask.arguments.fencing is not None:
            slot.fencing = max(ask.arguments.fencing, slot.fencing or 0)
        told = {"value": value} if tell else {}
        said = {"value": fingerprint(value)} if tell else {}
        return Done(told | {"version": slot.version}, said | {"version": slot.version})

    def _refusal(self, ask: Ask, slot: _Slot, value: Any) -> Done | None:
        key, token = ask.arguments.key, ask.arguments.fencing
        if self._settings.fencing and slot.fencing is not None:
            if token is None:
                return refused(f"{key}: expected a fencing token, as it was written under one")
            if token < slot.fencing:
                return refused(
                    f"{key}: expected a fencing token of at least {slot.fencing}, got {token}: "
                    "another has held the lock since"
                )
        cap = self._settings.max_entries
        if slot.value is None and value is not None and cap is not None and self._held >= cap:
            return refused(f"{self.name} is full: it holds {cap:,} entries; delete some")
        return too_large(self.name, value, self._settings.max_value_bytes)

    def _slot(self, ask: Ask) -> _Slot:
        """The slot of a key as it is now, made when there is none."""
        if self._partition != "none":
            self._begin_partition(ask.caller)
        slot = self._slots.get(ask.place)
        if slot is None:
            slot = self._slots[ask.place] = _Slot()
        if slot.expires and slot.value is not None and slot.expires <= self._clock():
            slot.value, slot.owner, slot.public = None, "", False
            self._held -= 1
        return slot

    def _begin_partition(self, caller: Caller) -> None:
        """A partition begins with its seed, when it is first touched."""
        whose = self.physical(caller, "")
        if whose in self._seeded:
            return
        self._seeded.add(whose)
        seed = self._settings.seed
        self._seed(caller, seed.get(EVERYONE, {}), public=True)
        self._seed(caller, seed.get(caller.tenant, {}), public=False)

    def _seed(self, caller: Caller, entries: dict[str, Json], *, public: bool) -> None:
        for key, value in entries.items():
            place = self.physical(caller, key)
            if place in self._slots and self.is_public(key):
                continue  # shared by all partitions, and brought by an earlier one
            slot = self._slots.setdefault(place, _Slot())
            self._held += slot.value is None
            slot.value, slot.version = value, slot.version + 1
            slot.owner = "" if public else caller.tenant
            slot.public = public or self.is_public(key)
            slot.expires = self._expiry()

    def _expiry(self) -> int:
        ttl = self._settings.ttl_s
        return self._clock() + nanoseconds(ttl) if ttl else 0


def _kind(value: Any) -> str:
    """What a value is, which gives nothing of it away."""
    return {str: "text", bool: "true or false", list: "a list", dict: "an object"}.get(
        type(value), "a number"
    )


def _everyone_first(seed: dict[str, dict[str, Json]]) -> list[tuple[str, dict[str, Json]]]:
    return sorted(seed.items(), key=lambda item: item[0] != EVERYONE)
