"""Reading a history: merge, pair, fold, follow.

Rules:
1. Reading streams: memory is bounded by the open actions, never by the length of the run.
2. Segments are merged by time, then by segment, then by place: the same bytes always read the same.
3. What cannot be read is reported in `problems`, never hidden and never fatal.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import zstandard

from proofrig.history.action import Action, Entry
from proofrig.history.format import SEGMENT, ZSTD, decoder, folder_of, segments_of

CHUNK = 1 << 20
Result = TypeVar("Result", covariant=True)


class Fold(Protocol[Result]):
    """A pure judge of a history: sees every entry once, in order, then says what it found."""

    def step(self, entry: Entry) -> None: ...

    def result(self) -> Result: ...


class History:
    """A run's history, live or finished. Reading again starts from the beginning."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.problems: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """Every entry of every segment in the order of time."""
        self.problems = []
        streams = [self._segment(path) for path in segments_of(self.run_dir)]
        if len(streams) == 1:
            return streams[0]
        return heapq.merge(*streams, key=attrgetter("t"))

    def actions(self) -> Iterator[Action]:
        """Every action, as it ends; then those that never ended, in the order they began."""
        return pair(self.entries())

    def fold(self, *folds: Fold[object]) -> None:
        """One pass over the entries for all of `folds`."""
        steps = [fold.step for fold in folds]
        for entry in self.entries():
            for step in steps:
                step(entry)

    def _segment(self, path: Path) -> Iterator[Entry]:
        with path.open("rb") as raw:
            packed = path.suffix == ZSTD
            reader = zstandard.ZstdDecompressor().stream_reader(raw) if packed else raw
            rest = b""
            while chunk := reader.read(CHUNK):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    yield from self._decode(whole, path)
            if rest:
                self.problems.append(
                    f"{path.name}: the last line is torn ({len(rest)} bytes); "
                    "the writer was killed inside a write. It is left out."
                )

    def _decode(self, lines: bytes, path: Path) -> list[Entry]:
        try:
            return decoder.decode_lines(lines)
        except msgspec.DecodeError:
            return list(self._decode_one_by_one(lines, path))

    def _decode_one_by_one(self, lines: bytes, path: Path) -> Iterator[Entry]:
        for line in lines.splitlines():
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                self.problems.append(f"{path.name}: not an entry ({error}): {line[:80]!r}")


def pair(entries: Iterable[Entry]) -> Iterator[Action]:
    """Actions from entries: each as it ends, then the unfinished in the order they began. Of
    entries that are all here, an action also has the faults that struck it behind its end."""
    pairing = Pairing()
    if isinstance(entries, Sequence):
        pairing.foresee(entry for entry in entries if entry.kind == "fault" and entry.id)
        entries = (entry for entry in entries if entry.kind != "fault")
    for entry in entries:
        action = pairing.step(entry)
        if action is not None:
            yield action
    yield from pairing.unfinished()


class Pairing:
    """Pairs entries that are handed in one by one. Entries without an id are passed over, and so is
    a fault behind the end of its action (an agent killed once it has its answer)."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, Entry]] = {}
        self._faults: dict[str, list[Entry]] = {}

    def step(self, entry: Entry) -> Action | None:
        """The action that this entry ends; None when it ends none."""
        id, kind = entry.id, entry.kind
        if not id:
            return None
        if kind == "reserve":
            if entry.attrs.get("decision") == "deny":
                return _action({"reserve": entry}, ())
            self._open[id] = {"reserve": entry}
        elif kind == "start":
            self._open.setdefault(id, {})["start"] = entry
        elif kind == "fault" and id in self._open:
            self._faults.setdefault(id, []).append(entry)
        elif kind in ("commit", "release"):
            parts = self._open.pop(id, {})
            parts["end"] = entry
            return _action(parts, self._faults.pop(id, ()) if self._faults else ())
        return None

    def foresee(self, faults: Iterable[Entry]) -> None:
        """Faults of actions that are still to come."""
        for fault in faults:
            self._faults.setdefault(fault.id, []).append(fault)

    def unfinished(self) -> Iterator[Action]:
        """The actions that never ended, in the order they began."""
        for id, parts in self._open.items():
            yield _action(parts, self._faults.get(id, ()))


def _action(parts: dict[str, Entry], faults: Iterable[Entry]) -> Action:
    known = parts.get("reserve") or parts.get("start") or parts["end"]
    return Action(
        id=known.id,
        name=known.name,
        trial=known.trial,
        tenant=known.tenant,
        scope=known.scope,
        reserve=parts.get("reserve"),
        start=parts.get("start"),
        end=parts.get("end"),
        faults=tuple(faults),
    )


class Tail:
    """Follows one segment while it is written. Whole lines only; `poll` never blocks."""

    def __init__(self, run_dir: Path, segment: str) -> None:
        self.path = folder_of(run_dir) / f"{segment}{SEGMENT}"
        self._offset = 0

    def poll(self) -> list[Entry]:
        """The entries that were flushed since the last poll."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return decoder.decode_lines(whole) if newline else []
