"""The faults that a run declares, and what they struck.

Rules:
1. A fault is known by its number in its stage's list, and one of a scenario also by that; names
   need not be unique, so a name that two faults have is shown with the number.
2. A fault could have struck where a trial ran that its `on` names by case, scenario and tenant: one
   that is aimed elsewhere has not failed to fire. Baselines meet no faults.
3. A pack is one: where one of its faults struck, none of the others has failed to.
4. What stands on the history without being declared is shown too, as a fault without a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from proofrig.history.action import Entry

BASELINES = ("null", "reference")
UNDECLARED = -1


class Declared(msgspec.Struct, frozen=True):
    """A fault of the run's list. written: as the suite has it, what is default left out. scenario:
    whose own it is. unit: the same for all faults of one pack."""

    number: int
    title: str
    kind: str
    label: str
    written: Mapping[str, Any] = {}
    scenario: str = ""
    unit: int = UNDECLARED

    @property
    def pack(self) -> str:
        """The pack that it came from."""
        return str(self.written.get("pack", ""))

    @property
    def on(self) -> Mapping[str, Any]:
        """What it strikes."""
        found: Mapping[str, Any] = self.written.get("on") or {}
        return found

    def could(self, begin: Entry) -> bool:
        """True when it could strike the trial that begins so."""
        attrs = begin.attrs
        if attrs.get("role") in BASELINES:
            return False
        facts = {"case": attrs.get("case", ""), "scenario": attrs.get("scenario", "")}
        facts["tenant"] = begin.tenant
        return all(_fits(self.on.get(part), value) for part, value in facts.items())


def declared_of(
    written: Iterable[Mapping[str, Any]],
    by_scenario: Mapping[str, Iterable[Mapping[str, Any]]] = {},
) -> tuple[Declared, ...]:
    """The faults of a manifest, in the order of their numbers: the suite's, then those of each
    scenario, which say their `number`."""
    listed = [("", number, one) for number, one in enumerate(written)]
    for scenario, faults in by_scenario.items():
        listed += [(scenario, int(one.get("number", 0)), one) for one in faults]
    titles = Counter(_title(one) for _, _, one in listed)
    found: list[Declared] = []
    unit: set[str] = set()  # titles of the pack that is read; it has each of them once
    for scenario, number, one in listed:
        title, of = _title(one), f" of {scenario}" if scenario else ""
        made = Declared(
            number,
            title,
            str(one.get("kind", "")),
            title if titles[title] == 1 else f"{title} #{number + 1}{of}",
            {name: value for name, value in one.items() if name != "number"},
            scenario,
            len(found),
        )
        if found and _one_pack(found[-1], made) and title not in unit:
            made = msgspec.structs.replace(made, unit=found[-1].unit)
        else:
            unit = set()
        unit.add(title)
        found.append(made)
    return tuple(found)


def _one_pack(one: Declared, other: Declared) -> bool:
    return bool(one.pack) and (one.pack, one.scenario) == (other.pack, other.scenario)


class Struck(msgspec.Struct):
    """What one fault did. count: how often it struck; trials: how often in which trial; at: by
    surface. spared: the other trials that it could have struck. missed: it could have struck, and
    never did, nor did the others of its pack."""

    fault: Declared
    count: int = 0
    trials: dict[str, int] = {}
    at: dict[str, int] = {}
    spared: list[str] = []
    missed: bool = False


class Injected:
    """Counts what faults strike: a fold, or fed with what a checker sees."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self._found = {(one.scenario, one.number): Struck(one) for one in declared}
        self._begun: dict[str, Entry] = {}
        self._other: dict[str, Struck] = {}

    def step(self, entry: Entry) -> None:
        """An entry of the history."""
        if entry.kind == "fault":
            self.fault(entry)
        elif entry.kind == "trial" and entry.name == "begin":
            self._begun[entry.trial] = entry

    def fault(self, entry: Entry) -> None:
        """A fault took effect."""
        found = self._of(entry)
        found.count += 1
        for counts, what in ((found.trials, entry.trial), (found.at, entry.attrs.get("at", ""))):
            if what:
                counts[what] = counts.get(what, 0) + 1

    def result(self) -> list[Struck]:
        """The declared faults in their order, then what else struck."""
        every = [*self._found.values(), *self._other.values()]
        for one in every:
            one.spared = [
                begin.trial
                for begin in self._begun.values()
                if begin.trial not in one.trials and one.fault.could(begin)
            ]
        struck = {one.fault.unit for one in self._found.values() if one.count}
        for one in self._found.values():
            one.missed = bool(one.spared) and one.fault.unit not in struck
        return every

    def _of(self, entry: Entry) -> Struck:
        title = str(entry.attrs.get("fault") or entry.name)
        number, begun = entry.attrs.get("number", UNDECLARED), self._begun.get(entry.trial)
        scenario = "" if begun is None else str(begun.attrs.get("scenario", ""))
        known = self._found.get((scenario, number)) or self._found.get(("", number))
        if known is not None and known.fault.title == title:
            return known
        if title not in self._other:
            self._other[title] = Struck(Declared(UNDECLARED, title, entry.name, title))
        return self._other[title]


def _title(written: Mapping[str, Any]) -> str:
    return str(written.get("name") or written.get("kind", ""))


def _fits(wanted: Any, value: str) -> bool:
    if wanted is None:
        return True
    globs = [wanted] if isinstance(wanted, str) else wanted
    return any(fnmatchcase(value, glob) for glob in globs)
