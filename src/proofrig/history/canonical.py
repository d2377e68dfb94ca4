"""A history without its clocks: the same suite and seed give the same text, whatever ran when.

Rules:
1. What tells time, depends on it, or was drawn for one run alone is left out: `CLOCK_FIELDS`, names
   that end in `_ns` but for `SETTINGS_NS`, the notes in `CLOCK_NOTES`. What of it stands in texts
   is written as its name: `<port>`, `<token>`.
2. Trials come in the order of their ids. In a trial: its begin, its actions, notes that belong to
   no action, its end.
3. Actions stand where they belong, not when they came: a call of a tool after the turn of the model
   that asked for it, in the order of the turn; calls of models by how far their conversation has
   come; an operation after the tool's call that it is part of. What nobody asked for is ordered by
   what it is. Only equal ones are told apart by when they came.
4. Actions are numbered anew in that order, wherever they are referred to.
5. A payload stands as the digest of its bytes without clocks: of a model's turn, without the time
   that the provider gave it.

Pure: reads a history, writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from proofrig.history.action import Entry
from proofrig.history.payloads import digest_of

# docs/reference/determinism.md says of each why.
CLOCK_FIELDS = frozenset(
    {"t", "ms", "pid", "trace", "ahead", "nth", "remaining"}
    | {"max_rss_bytes", "cpu_ms", "strays"}  # what a process used
)
BOX_CLOCKS = frozenset({"usage", "start", "start_ms"})  # of `box`: what it used, how it was ready
SETTINGS_NS = frozenset({"ttl_ns", "target_ns", "arrival_target_ns", "lasts_ns"})
CLOCK_NOTES = frozenset({"segment", "lag", "throttle"})
PAYLOADS = frozenset(
    {"request", "raw", "response", "arguments", "result", "answer", "state", "list", "payload"}
)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_TEXTS = (
    (re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):\d{2,5}"), r"\1:<port>"),
    (re.compile(r"/t/[A-Za-z0-9_-]{16,}"), "/t/<token>"),
    (re.compile(r"proofrig\.trial=[A-Za-z0-9_-]{16,}"), "proofrig.trial=<token>"),
    (re.compile(r"\b\d{8}-\d{6}-([A-Za-z0-9_.-]+)-[0-9a-f]{4}\b"), r"<run>-\1"),
    (re.compile(r"\b(?:rig|runner)-\d+\.\d+\b"), "<action>"),
    (re.compile(r"\b0x[0-9a-f]{6,16}\b"), "<address>"),
)
_KINDS = {"reserve": 0, "start": 1, "fault": 2, "note": 3, "release": 4, "commit": 4}
_encode = msgspec.json.Encoder(order="sorted").encode

Payload = Callable[[str], bytes | None]


def canonical(entries: Iterable[Entry], payload: Payload) -> Iterator[str]:
    """The lines of a history without clocks. `payload`: the bytes of a digest."""
    trials: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind != "note" or entry.name not in CLOCK_NOTES:
            trials.setdefault(entry.trial, []).append(entry)
    plain = _Plain(payload)
    ordered = {trial: _ordered(trials[trial], plain, payload) for trial in sorted(trials)}
    for trial, found in ordered.items():
        ids = dict.fromkeys(entry.id for entry in found if entry.id)
        plain.ids |= {id: f"{trial}#{number}" for number, id in enumerate(ids, 1)}
    for found in ordered.values():
        for number, entry in enumerate(found):
            yield plain.line(number, entry)


def without_clocks(value: Any, ids: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Plain values without what tells time. `ids`: new names of actions."""
    if isinstance(value, dict):
        plain = {
            name: without_clocks(part, ids)
            for name, part in value.items()
            if name not in CLOCK_FIELDS and (name in SETTINGS_NS or not str(name).endswith("_ns"))
        }
        if isinstance(box := plain.get("box"), dict):
            plain["box"] = {name: part for name, part in box.items() if name not in BOX_CLOCKS}
        return plain
    if isinstance(value, list | tuple):
        return [without_clocks(part, ids) for part in value]
    return (ids.get(value) or _text(value)) if isinstance(value, str) else value


def _text(text: str) -> str:
    for pattern, name in _TEXTS:
        text = pattern.sub(name, text)
    return text


class _Plain:
    """Entries as lines; `ids` are the actions' new names."""

    def __init__(self, payload: Payload) -> None:
        self.ids: dict[str, str] = {}
        self._payload = payload
        self._digests: dict[str, str] = {}

    def line(self, number: int, entry: Entry) -> str:
        """An entry as a line of JSON, the keys of its attributes sorted."""
        said = {
            "seq": number,
            "kind": entry.kind,
            "name": entry.name,
            "trial": entry.trial,
            "tenant": entry.tenant,
            "scope": entry.scope,
            "id": self.ids.get(entry.id, ""),
            "attrs": msgspec.Raw(_encode(self.attrs(entry))),
        }
        kept = {name: part for name, part in said.items() if part != ""}
        return msgspec.json.encode(kept).decode()

    def attrs(self, entry: Entry) -> dict[str, Any]:
        """What an entry says without clocks, its payloads as digests without clocks."""
        plain: dict[str, Any] = without_clocks(entry.attrs, self.ids)
        for name in PAYLOADS & plain.keys():
            if isinstance(plain[name], str) and _DIGEST.fullmatch(plain[name]):
                plain[name] = self.digest(plain[name], a_turn=name == "response")
        return plain

    def digest(self, digest: str, a_turn: bool = False) -> str:
        """The digest of a payload without its clocks; its own where the bytes are gone."""
        if digest not in self._digests:
            data = self._payload(digest)
            plain = None if data is None else _without(data, a_turn)
            self._digests[digest] = digest if plain is None else digest_of(plain)
        return self._digests[digest]


def _without(data: bytes, a_turn: bool) -> bytes:
    """A payload without clocks."""
    value = _read(data) if a_turn else None
    if isinstance(value, dict):
        data = _encode({name: part for name, part in value.items() if name != "created"})
    return _text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _read(data: bytes | None) -> Any:
    """JSON, or None."""
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _ordered(entries: list[Entry], plain: _Plain, payload: Payload) -> list[Entry]:
    """The entries of one trial in the order in which they belong."""
    actions: dict[str, list[Entry]] = {}
    begin: list[Entry] = []
    notes: list[Entry] = []
    end: list[Entry] = []
    for entry in entries:
        if entry.id:
            actions.setdefault(entry.id, []).append(entry)
        elif entry.kind == "trial":
            (begin if entry.name == "begin" else end).append(entry)
        else:
            notes.append(entry)
    for parts in actions.values():
        parts.sort(key=lambda entry: _KINDS.get(entry.kind, 3))
    notes.sort(key=lambda entry: (entry.kind, entry.name, _encode(plain.attrs(entry))))
    placed = (part for id in _places(actions, plain, payload) for part in actions[id])
    return [*begin, *placed, *notes, *end]


def _places(actions: dict[str, list[Entry]], plain: _Plain, payload: Payload) -> list[str]:
    """The ids of a trial's actions in the order in which they belong."""
    below: dict[str, list[str]] = {}
    keys: dict[str, tuple[Any, ...]] = {}
    for number, (id, parts) in enumerate(actions.items()):
        first = parts[0]
        above = first.attrs.get("parent") or first.attrs.get("asked_by") or ""
        below.setdefault(above if above in actions else "", []).append(id)
        if first.attrs.get("parent") in actions:
            keys[id] = (number,)  # in the order of the tool's own program
        elif first.attrs.get("asked_by") in actions:
            asked = _asked(actions[first.attrs["asked_by"]], payload)
            call = first.attrs.get("call_id", "")
            place = asked.index(call) if call in asked else len(asked)
            keys[id] = (place, first.name, plain.attrs(first).get("arguments", ""), number)
        else:
            keys[id] = (_depth(first, payload), first.name, _content(first, plain), number)
    found: list[str] = []
    waiting = sorted(below.get("", ()), key=keys.__getitem__, reverse=True)
    while waiting:
        found.append(id := waiting.pop())
        waiting += sorted(below.get(id, ()), key=keys.__getitem__, reverse=True)
    return found


def _content(entry: Entry, plain: _Plain) -> str:
    """What an action is, without which one it is: the same for its equals."""
    attrs = {k: v for k, v in plain.attrs(entry).items() if k not in ("retry_of", "asked_by")}
    return _encode([attrs.get("attempt", 0), attrs]).decode()


def _depth(entry: Entry, payload: Payload) -> int:
    """How many messages a conversation has when a model is asked; what is no call of a model comes
    after those."""
    if not entry.name.startswith("llm."):
        return 1 << 30
    body = _read(payload(entry.attrs.get("request", "")))
    said = (body.get("messages") or body.get("input")) if isinstance(body, dict) else None
    return len(said) if isinstance(said, list) else 0


def _asked(parts: list[Entry], payload: Payload) -> list[str]:
    """The ids of the calls that a turn of a model asked for, in its order."""
    digest = next((one.attrs["response"] for one in parts if "response" in one.attrs), "")
    turn = _read(payload(digest)) if digest else None
    return [call.get("id", "") for call in turn.get("tool_calls", ())] if turn else []
