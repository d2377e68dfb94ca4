"""Leftover state: a trial reads what an earlier trial left in a service that should begin clean.

Rules:
1. Earlier is certain: the trial that wrote the value had ended before the reader began.
2. It is a finding only where the service is declared to belong to one trial (`scope: trial` or
   `partition: trial`). Elsewhere memory is meant to last; what was inherited is counted.
3. Who wrote a value is known only when one trial alone wrote it to that place.
4. Where trials of the same cases ran in clean and in used environments, their pass rates are
   compared (`_environments`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from proofrig.checkers._environments import CLEAN, MARGIN, USED, Environments
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

VALUES = 256  # of one place, whose writer is remembered
ENTRIES = 100_000  # of caches
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
        self._environments = Environments()

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
            self._environments.begun(entry)
        else:
            self._ended[entry.trial] = entry.t
            self._environments.ended(entry)

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
        trials = {f"{part}_trials": self._environments.trials(part) for part in (CLEAN, USED)}
        exposure |= trials
        inherited = exposure["inherited_reads"]
        compared = self._environments.compared(self._setting.params.get("margin", MARGIN))
        if compared is not None and compared.worse:
            failed = self._environments.failed[:SHOWN]
            witness = [noted(entry, "failed in a used environment") for entry in failed]
            self._findings.add("used_environment_worse", compared.says, witness)
        checked = conclude(
            self.name,
            self._findings,
            exposure,
            wanted="private_reads" if compared is None else "used_trials",
            missing="no service that is declared to begin clean was read (`partition: trial`)",
            says="" if compared is None else compared.says,
            measures={"inherited_reads": float(inherited)}
            | ({} if compared is None else compared.measures()),
        )
        if checked.verdict == "valid" and compared is not None and not compared.clean:
            checked.verdict = "unknown"
            checked.says = f"no trial passed in clean environments either: {compared.says}"
        elif checked.verdict == "valid" and compared is not None and compared.more != 0:
            checked.verdict = "unknown"
        if checked.verdict == "unknown" and inherited and compared is None:
            checked.says = (
                f"{inherited} reads saw what earlier trials had left; whether they should is not "
                "declared (`scope: trial` for a service that begins clean)"
            )
        return checked
