"""One checker over a history: scenario by scenario, with the sequential one as baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proofrig.checkers import CHECKERS
from proofrig.checkers.checker import Checked, Setting
from proofrig.history.action import Entry
from proofrig.history.history import Pairing

BY_NAME = {checker.name: checker for checker in CHECKERS}
_SETTING = {"scenario", "agents", "params", "topology", "tenants"}


def judged(checker: str, entries: Sequence[Entry]) -> Checked:
    """What the checker comes to in the last scenario of a history, the sequential one before it
    being the baseline."""
    baseline, result = None, Checked(checker, "unknown")
    for begun, part in _scenarios(entries):
        attrs = {name: begun.attrs[name] for name in begun.attrs if name in _SETTING}
        result = judged_alone(checker, Setting(**attrs, baseline=baseline), part)
        if begun.attrs["scenario"] == "sequential":
            baseline = result
    return result


def _scenarios(entries: Sequence[Entry]) -> Iterable[tuple[Entry, list[Entry]]]:
    begun: Entry | None = None
    part: list[Entry] = []
    for entry in entries:
        if entry.kind == "note" and entry.name == "scenario":
            if entry.attrs["state"] == "begin":
                begun, part = entry, []
            elif begun is not None:
                yield begun, part
        else:
            part.append(entry)


def judged_alone(name: str, setting: Setting, entries: Sequence[Entry]) -> Checked:
    """What the checker of that name comes to in the entries of one scenario."""
    checker, pairing = BY_NAME[name](setting), Pairing()
    for entry in entries:
        if entry.id and entry.kind != "note":
            action = pairing.step(entry)
            if action is not None and action.name.startswith(checker.reads):
                checker.action(action)
        elif f"{entry.kind}.{entry.name}" in checker.notes:
            checker.note(entry)
    for action in pairing.unfinished():
        if action.name.startswith(checker.reads):
            checker.action(action)
    return checker.result()
