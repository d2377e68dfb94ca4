"""Whether the faults that the run declares struck anything.

Rules:
1. A fault that never struck tested nothing: the verdict is unknown, and names it. A pack is one:
   of a pack of which something struck, the faults that did not are named, and no more.
2. A fault that is aimed at cases, scenarios or tenants of which no trial ran is not waited for.
"""

from __future__ import annotations

from typing import ClassVar

from proofrig.checkers.checker import Checked, Findings, Setting, conclude
from proofrig.checkers.injected import Injected, Struck
from proofrig.history.action import Action, Entry

TODO = "raise `probability`, widen `on` or `when`, or run more trials"
_SHOWN = 8  # faults named


class FaultsFired:
    """Counts the strikes of each declared fault."""

    name: ClassVar[str] = "faults_fired"
    reads: ClassVar[tuple[str, ...]] = ()
    notes: ClassVar[tuple[str, ...]] = ("trial.begin", "fault.")
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._injected = Injected(setting.faults)

    def action(self, action: Action) -> None: ...

    def note(self, entry: Entry) -> None:
        self._injected.step(entry)

    def result(self) -> Checked:
        every = self._injected.result()
        meant = [one for one in every if one.count or one.spared]
        fired = [one for one in every if one.count]
        missed = list(dict.fromkeys(_of_unit(one) for one in every if one.missed))
        quiet = [one.fault.label for one in meant if not one.count and not one.missed]
        strikes = sum(one.count for one in fired)
        trials = len({trial for one in fired for trial in one.trials})
        told = f"{strikes:,} strikes in {trials:,} trials: {_listed(fired)}"
        if quiet and fired:
            told += f"; of packs that struck, not: {_some(quiet)}"
        checked = conclude(
            self.name,
            Findings(),
            {"faults": len(meant), "fired": len(fired), "strikes": strikes, "trials": trials},
            wanted="fired",
            missing="no fault was declared for what ran, so nothing can be said",
            says=told,
            measures={"faults_never_fired": float(len(missed))}
            | {f"struck:{one.fault.label}": float(one.count) for one in meant},
        )
        if missed:
            checked.verdict = "unknown"
            units = len({one.fault.unit for one in meant})
            checked.says = f"{len(missed)} of {units} faults never fired: {_some(missed)}; {TODO}"
            checked.says += f". {told}" if fired else ""
        return checked


def _listed(fired: list[Struck]) -> str:
    return _some([f"{one.fault.label} {one.count:,}" for one in fired])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _of_unit(one: Struck) -> str:
    return f"the pack {one.fault.pack}" if one.fault.pack else one.fault.label
