"""Operations on shared keys and files, as the checkers of data see them: small, and comparable.

Rules:
1. A `Place` is where something is really stored. In a phase whose trials get instances of their
   own, and of a service that is declared to begin anew with each (`scope: trial`), the trial is
   part of it.
2. `end` is FOREVER unless the outcome is certain: an operation nobody saw the end of may take
   effect at any later time.
3. One that lies wholly before another (`a.end < b.begin`) took effect before it. Nothing else is
   certain between sessions; within one, what ended by the time the next began came before it.
4. What is forgotten to bound memory is missed, never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from proofrig.checkers.checker import Evidence, Setting
from proofrig.history.action import Action, Entry

Place = tuple[str, str, str]  # service, key, trial ("" where the instance is shared)
Value = TypeVar("Value")

FOREVER = 1 << 62
UNSEEN = "\0unseen"  # a value nobody wrote down
PLACES = 100_000  # places that are kept in mind at once
PHASE = "note.phase"

READS = frozenset({"kv.get", "file.read"})
PUTS = frozenset({"kv.put", "kv.cas", "file.write"})  # the whole value is replaced
APPENDS = frozenset({"kv.append", "file.append"})
ADDS = APPENDS | {"kv.incr"}  # the service itself makes the new value
WRITES = PUTS | ADDS | {"kv.delete"}


class Op(msgspec.Struct, gc=False):
    """An operation. given: the value it was asked to write or to add. value: what the place held
    after it, as far as it says; None is absent. rig: seen by the service itself. expires: what it
    wrote goes by itself."""

    name: str
    id: str
    trial: str
    tenant: str
    place: Place
    outcome: str
    begin: int
    end: int
    given: str | None
    value: str | None
    version: int | None
    fencing: int | None
    rig: bool
    expires: bool

    def evidence(self, says: str) -> Evidence:
        """It as evidence, at its end or, where that is not certain, at its beginning."""
        t = self.begin if self.end == FOREVER else self.end
        return Evidence(t, self.name, says, self.id, self.trial, self.tenant)


class Operations:
    """Makes `Op` of actions. Tell it of the notes `phase`. setting: None compares trials even where
    a service is declared to begin anew with each."""

    def __init__(self, setting: Setting | None = None) -> None:
        self._fresh = False
        topology = setting.topology if setting is not None else {}
        self._anew = {name for name, said in topology.items() if said.get("scope") == "trial"}

    def note(self, entry: Entry) -> None:
        """A phase begins or ends."""
        attrs = entry.attrs
        self._fresh = bool(attrs.get("fresh")) and attrs.get("state") != "end"

    def place(self, action: Action) -> Place | None:
        """Where it is done; None when it names no key."""
        attr = action.attr
        key = attr("physical") or attr("key") or attr("path")
        if key is None:
            return None
        service = attr("service", "")
        return (service, key, action.trial if self._fresh or service in self._anew else "")

    def read(self, action: Action) -> Op | None:
        """The action as an operation; None when it names no key."""
        first, last, name = action.start, action.end, action.name
        if first is None:
            first = action.reserve
        asked: Mapping[str, Any] = first.attrs if first is not None else {}
        told: Mapping[str, Any] = last.attrs if last is not None else {}
        place = self.place(action)
        if place is None:
            return None
        outcome = action.outcome if last is None or last.kind != "commit" else told["outcome"]
        given = text(asked.get("value", UNSEEN))
        if name == "kv.delete":
            value = None
        else:  # a file may be given more before it is closed, which its end says
            value = text(told.get("value", given if name in PUTS else UNSEEN))
        # The service says of itself what it held back; others are seen from the start alone.
        begun = action.reserve or first
        return Op(
            name,
            action.id,
            action.trial,
            action.tenant,
            place,
            outcome,
            begun.t if begun is not None else last.t if last is not None else -1,
            FOREVER if outcome == "unknown" or last is None else last.t,
            given,
            value,
            told.get("version"),
            asked.get("fencing"),
            action.reserve is not None,
            "ttl_ns" in asked,
        )


class Places(dict[Place, Value], Generic[Value]):
    """What is known of each place, made when first asked for; the oldest is forgotten."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make

    def __missing__(self, place: Place) -> Value:
        if len(self) >= PLACES:
            del self[next(iter(self))]
        self[place] = made = self._make()
        return made


def text(value: Any) -> str | None:
    """A value as the history compares it: text, or None for absent."""
    return value if value.__class__ is str or value is None else str(value)


def declared(setting: Setting, place: Place) -> Mapping[str, Any]:
    """What the suite declares of the service of a place; {} when nothing."""
    return setting.topology.get(place[0], {})


def forgets(setting: Setting, place: Place) -> bool:
    """True where the suite declares that the service lets entries go by itself."""
    said = declared(setting, place)
    return any(said.get(word) for word in ("ttl_s", "ttl_ns", "ttl", "max_entries", "eviction"))


def shown(value: str | None) -> str:
    """A value for people, short."""
    if value is None:
        return "nothing"
    if value == UNSEEN:
        return "a value that was not written down"
    return repr(value) if len(value) <= 60 else repr(value[:57] + "...")


def where(place: Place) -> str:
    """A place for people."""
    return f"{place[1]!r} of {place[0]}" if place[0] else repr(place[1])
