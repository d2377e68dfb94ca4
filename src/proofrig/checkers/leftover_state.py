"""Leftover state: a trial reads what an earlier trial left in a service that should begin clean.

Rules:
1. Earlier is certain: the trial that wrote the value had ended before the reader began.
2. It is a finding only where the service is declared to belong to one trial (`scope: trial` or
   `partition: trial`). Elsewhere memory is meant to last; what was inherited is counted.
3. Who wrote a value is known only when one trial alone wrote it to that place.
4. Where trials of the same cases ran in clean and in used environments (`part` of their begin), the
   pass rates are compared. The cases are fixed and their trials the sample, so that Wilson's
   intervals on trials are wide enough; the used environment is worse when the interval of the
   difference lies below zero.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from proofrig.checkers._operations import (
    PHASE,
    READS,
    UNSEEN,
    WRITES,
    Op,
    Operations,
    Places,
    declared,
    shown,
    where,
)
from proofrig.checkers.checker import Checked, Findings, Setting, conclude, noted
from proofrig.history.action import Action, Entry
from proofrig.stats.intervals import difference, wilson

VALUES = 256  # of one place, whose writer is remembered
ENTRIES = 100_000  # of caches
CLEAN, USED = "clean", "used"
SHOWN = 10


class LeftoverState:
    """Finds what trials inherit from those before them."""

    name: ClassVar[str] = "leftover_state"
    reads: ClassVar[tuple[str, ...]] = ("kv.", "file.", "cache.")
    notes: ClassVar[tuple[str, ...]] = ("trial.begin", "trial.end", PHASE)
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._operations = Operations()
        self._begun: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._wrote: Places[dict[str, Op | None]] = Places(dict)
        self._exposure: dict[str, int] = defaultdict(int)
        self._findings = Findings()
        self._parts: dict[str, str] = {}  # trial -> clean or used
        self._outcomes: dict[str, list[tuple[Entry, bool]]] = {CLEAN: [], USED: []}

    def action(self, action: Action) -> None:
        op = self._operations.read(action)
        if op is None or op.outcome == "fail":
            return
        value = self._value(action, op)
        if value is None or value == UNSEEN:
            return
        if op.name in WRITES or op.name == "cache.put":
            self._writes(op, value)
        elif op.outcome == "ok" and (op.name in READS or op.name == "cache.get"):
            self._reads(op, value)

    def note(self, entry: Entry) -> None:
        if entry.kind != "trial":
            self._operations.note(entry)
        elif entry.name == "begin":
            self._begun.setdefault(entry.trial, entry.t)
            if entry.attrs.get("part") in self._outcomes:
                self._parts[entry.trial] = entry.attrs["part"]
        else:
            self._ended[entry.trial] = entry.t
            part, passed = self._parts.pop(entry.trial, ""), entry.attrs.get("passed")
            if part and passed is not None:
                self._outcomes[part].append((entry, passed))

    def _value(self, action: Action, op: Op) -> str | None:
        """What was written or read; of a cache, which entry."""
        if not op.name.startswith("cache."):
            return op.value
        if op.name == "cache.get" and not action.attr("hit"):
            return None
        entry: Any = action.attr("entry")
        op.place = (op.place[0], "entry", op.place[2])
        return None if entry is None else str(entry)

    def _writes(self, op: Op, value: str) -> None:
        writers = self._wrote[op.place]
        first = writers.get(value, op)
        if len(writers) >= (ENTRIES if op.name == "cache.put" else VALUES):
            del writers[next(iter(writers))]
        writers[value] = op if first is not None and first.trial == op.trial else None

    def _reads(self, op: Op, value: str) -> None:
        said = declared(self._setting, op.place)
        private = said.get("scope") == "trial" or said.get("partition") == "trial"
        self._exposure["reads"] += 1
        self._exposure["private_reads"] += private
        write = self._wrote[op.place].get(value) if op.place in self._wrote else None
        if write is None or write.trial == op.trial:
            return
        began = self._begun.get(op.trial, -1)
        if self._ended.get(write.trial, began) >= began:
            return
        self._exposure["inherited_reads"] += 1
        if private:
            self._findings.add(
                "leftover_state",
                f"{op.trial} read {shown(value)} from {where(op.place)}, which {write.trial} had "
                f"left there: {op.place[0]} is declared to belong to one trial",
                [
                    write.evidence(f"wrote {shown(value)}, then its trial ended"),
                    op.evidence(f"read {shown(value)} in a later trial"),
                ],
            )

    def result(self) -> Checked:
        names = ("reads", "private_reads", "inherited_reads")
        exposure = {name: self._exposure[name] for name in names}
        exposure |= {f"{part}_trials": len(ended) for part, ended in self._outcomes.items()}
        inherited = exposure["inherited_reads"]
        compared = all(self._outcomes.values())
        says, measures = self._compared() if compared else ("", {})
        checked = conclude(
            self.name,
            self._findings,
            exposure,
            wanted="used_trials" if compared else "private_reads",
            missing="no service that is declared to begin clean was read (`partition: trial`)",
            says=says,
            measures={"inherited_reads": float(inherited), **measures},
        )
        if checked.verdict == "valid" and not measures.get("clean_pass_rate", 1.0):
            checked.verdict = "unknown"
            checked.says = f"no trial passed in clean environments either: {says}"
        if checked.verdict == "unknown" and inherited and not compared:
            checked.says = (
                f"{inherited} reads saw what earlier trials had left; whether they should is not "
                "declared (`scope: trial` for a service that begins clean)"
            )
        return checked

    def _compared(self) -> tuple[str, dict[str, float]]:
        """Compare the pass rates of clean and of used environments, and add what that finds."""
        rates = {
            part: wilson(sum(passed for _, passed in ended), len(ended))
            for part, ended in self._outcomes.items()
        }
        apart = difference(rates[USED], rates[CLEAN])
        says = (
            f"{rates[CLEAN].estimate:.0%} of {len(self._outcomes[CLEAN])} passed in clean, "
            f"{rates[USED].estimate:.0%} of {len(self._outcomes[USED])} in used environments: "
            f"{apart.estimate * 100:+.0f} points "
            f"({apart.low * 100:+.0f} to {apart.high * 100:+.0f})"
        )
        if apart.high < 0:
            failed = [entry for entry, passed in self._outcomes[USED] if not passed]
            self._findings.add(
                "used_environment_worse",
                says,
                [noted(entry, "failed in a used environment") for entry in failed[:SHOWN]],
            )
        return says, {
            "clean_pass_rate": rates[CLEAN].estimate,
            "used_pass_rate": rates[USED].estimate,
            "used_difference_low_ratio": apart.low,
            "used_difference_high_ratio": apart.high,
        }
