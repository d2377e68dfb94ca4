"""Lost updates: two trials changed what they had read, and neither saw the other's change.

Rules:
1. An update is an acknowledged put of a key that the trial had read, with no write of its own in
   between. Puts of keys it never read, compare-and-set, incr and append lose nothing this way.
2. Two updates of different trials conflict when both rest on one version of the key, or, whatever
   the versions, when both reads had ended before either put began: the later overwrote the other.
3. Both writing the same value is agreement, not loss; unless it is a number that rests on another
   number, or on nothing, also within a JSON document: two who read 5 and wrote 6 lost one.
   `counters: false` in the topology of a service says that its numbers count nothing, `counters:
   true` that all its values do.
4. An update is found once, with the first it conflicts with.
"""

from __future__ import annotations

import json
from collections import deque
from typing import ClassVar

from proofrig.checkers._operations import (
    ADDS,
    PHASE,
    READS,
    Op,
    Operations,
    Place,
    Places,
    declared,
    forgets,
    shown,
    where,
)
from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.history.action import Action, Entry

Update = tuple[Op, Op]  # the read, the put
KEPT = 64  # updates of a place, and versions, that a later one is held against


class _Key:
    """What is known of one place."""

    __slots__ = ("by_version", "changers", "deleted", "reads", "updates")

    def __init__(self) -> None:
        self.reads: dict[str, Op] = {}  # trial -> what it last read, until it writes
        self.updates: deque[Update] = deque(maxlen=KEPT)
        self.by_version: dict[int, Update] = {}
        self.changers: set[str] = set()  # the first two trials that changed it knowingly
        self.deleted = False


class LostUpdate:
    """Finds updates that overwrote others they had not seen."""

    name: ClassVar[str] = "lost_update"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.")
    notes: ClassVar[tuple[str, ...]] = (PHASE,)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations(setting)
        self._keys: Places[_Key] = Places(_Key)
        self._findings = Findings()
        self._updates = self._conflicts = self._contended = self._agreed = 0

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None:
            return
        if op.name in READS:
            if op.outcome == "ok":
                self._keys[op.place].reads[op.trial] = op
        elif op.outcome == "fail":
            refused = op.name == "kv.cas" or op.fencing is not None
            self._conflicts += refused
            if refused:
                self._changes(self._keys[op.place], op)
        else:
            self._wrote(self._keys[op.place], op)

    def note(self, entry: Entry) -> None:
        self._operations.note(entry)

    def _wrote(self, key: _Key, put: Op) -> None:
        read = key.reads.pop(put.trial, None)
        key.deleted = key.deleted or put.name == "kv.delete"
        if put.outcome != "ok":
            return
        if put.name == "kv.cas" or put.name in ADDS:
            self._changes(key, put)
        elif read is not None and read.end <= put.begin and put.name != "kv.delete":
            self._updates += 1
            self._changes(key, put)
            self._judge(key, (read, put))

    def _changes(self, key: _Key, op: Op) -> None:
        """A trial changed the place knowing what was there: contended from the second on."""
        if len(key.changers) < 2 and op.trial not in key.changers:
            key.changers.add(op.trial)
            self._contended += len(key.changers) == 2

    def _judge(self, key: _Key, mine: Update) -> None:
        other = self._other(key, mine)
        if other is not None:
            self._add(other, mine)
        key.updates.append(mine)
        version = mine[0].version
        if version is not None:
            if len(key.by_version) >= KEPT:
                del key.by_version[next(iter(key.by_version))]
            key.by_version.setdefault(version, mine)

    def _other(self, key: _Key, mine: Update) -> Update | None:
        """An earlier update that neither saw and was not seen by this one."""
        read, put = mine
        same = key.by_version.get(read.version) if read.version is not None else None
        if same is not None and self._same_state(key, same, mine) and self._differ(same, mine):
            return same
        for other in reversed(key.updates):
            if other[1].end <= read.end:
                return None  # and so did all before it
            apart = read.end < other[1].begin and other[0].end < put.begin
            if apart and other[1].trial != put.trial and self._differ(other, mine):
                return other
        return None

    def _same_state(self, key: _Key, one: Update, two: Update) -> bool:
        """Equal versions are one state, unless the key may have begun to count anew between."""
        if one[1].trial == two[1].trial or one[0].value != two[0].value:
            return False
        apart = one[1].end < two[0].begin or two[1].end < one[0].begin
        anew = key.deleted or forgets(self._setting, two[1].place)
        return two[0].rig or not (apart and anew)

    def _differ(self, one: Update, two: Update) -> bool:
        """Whether two updates are not one and the same (rule 3)."""
        given = two[1].value
        if one[1].value != given:
            return True
        counters = declared(self._setting, two[1].place).get("counters")
        if counters or (counters is None and _counts(two[0].value, given)):
            return True
        self._agreed += 1
        return False

    def _add(self, one: Update, two: Update) -> None:
        (read, put), (other_read, other_put) = sorted((one, two), key=lambda update: update[1].end)
        place: Place = put.place
        says = (
            f"{put.trial} and {other_put.trial} both changed {where(place)} from what they had "
            f"read, {shown(read.value)}"
        )
        if read.version is not None and read.version == other_read.version:
            says += f" (version {read.version})"
        self._findings.add(
            "lost_update",
            f"{says}: {shown(put.value)} and {shown(other_put.value)} were both acknowledged, and "
            "one overwrote the other unseen",
            [
                read.evidence(f"read {shown(read.value)}"),
                other_read.evidence(f"read {shown(other_read.value)}"),
                put.evidence(f"wrote {shown(put.value)}"),
                other_put.evidence(f"wrote {shown(other_put.value)}"),
            ],
        )

    def result(self) -> Checked:
        exposure = {
            "contended_keys": self._contended,
            "read_modify_writes": self._updates,
            "equal_writes": self._agreed,
        }
        measures = {
            "lost_updates": float(len(self._findings)),
            "write_conflicts": float(self._conflicts),
        }
        checked = conclude(
            self.name,
            self._findings,
            exposure,
            wanted="contended_keys",
            missing="no two trials changed one key that they had read, so nothing can be said",
            measures=measures,
        )
        if checked.verdict == "valid" and self._agreed:
            checked.says += (
                "; some wrote the same value, which is taken for agreement "
                "(`counters: true` in the topology says that it is none)"
            )
        return checked


def _counts(read: str | None, given: str | None) -> bool:
    """True when a number was made from another, or from nothing; also inside of a document."""
    if _is_number(given):
        return given != read and (read is None or _is_number(read))
    if read is None or given is None or not given.lstrip().startswith(("{", "[")):
        return False
    try:
        return _counted(json.loads(read), json.loads(given))
    except (ValueError, RecursionError):
        return False


def _counted(read: object, given: object) -> bool:
    """Whether a number of a document became another number at the same place."""
    if isinstance(read, dict) and isinstance(given, dict):
        return any(_counted(read[key], given[key]) for key in read.keys() & given.keys())
    if isinstance(read, list) and isinstance(given, list):
        return any(map(_counted, read, given))
    numbers = all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in (read, given)
    )
    return numbers and read != given


def _is_number(value: str | None) -> bool:
    try:
        float(value or "")
    except ValueError:
        return False
    return True
