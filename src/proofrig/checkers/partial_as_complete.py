"""Answers that pass off as whole what came incomplete.

Rules:
1. Incomplete is a turn of a model that ended before its terminal event, and a turn or a tool's
   result that a fault cut short.
2. It is passed off when the trial's answer consists of it or ends in it, says nothing of it, and
   the same did not come whole later (`anomalies.partial`).
3. Kept are the incomplete texts of trials that have not ended, and what came after them.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proofrig.anomalies.partial import (
    CUTTING,
    excused,
    passed_off,
    text_of_result,
    text_of_turn,
)
from proofrig.checkers.checker import Checked, Findings, Setting, conclude, evidence, noted
from proofrig.history.action import Action, Entry


class _Cut(msgspec.Struct):
    """What came incomplete, and the texts that came whole after it."""

    action: Action
    text: str
    later: list[Action] = []


class PartialAsComplete:
    """Finds partial texts that were presented as complete."""

    name: ClassVar[str] = "partial_as_complete"
    reads: ClassVar[tuple[str, ...]] = ("llm.", "tool.")
    notes: ClassVar[tuple[str, ...]] = ("trial.end",)
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._payload = setting.payload
        self._trials: dict[str, list[_Cut]] = {}
        self._findings = Findings()
        self._incomplete = self._answered = 0

    def action(self, action: Action) -> None:
        if not action.trial:
            return
        if not _incomplete(action):
            if action.outcome == "ok":
                for cut in self._trials.get(action.trial, ()):
                    cut.later.append(action)
            return
        text = self._text(action)
        if text:
            self._incomplete += 1
            self._trials.setdefault(action.trial, []).append(_Cut(action, text))

    def note(self, entry: Entry) -> None:
        cuts = self._trials.pop(entry.trial, [])
        if not cuts:
            return
        answer = (self._payload(str(entry.attrs.get("answer", ""))) or b"").decode(
            "utf-8", "replace"
        )
        self._answered += 1
        for cut in cuts:
            if not passed_off(answer, cut.text) or excused(cut.text, map(self._text, cut.later)):
                continue
            faults = ", ".join(dict.fromkeys(fault.name for fault in cut.action.faults))
            by = f" (struck by {faults})" if faults else ""
            self._findings.add(
                "partial_as_complete",
                f"{entry.trial}: the answer ends in what {cut.action.name} brought incomplete{by}, "
                "and does not say so",
                [
                    evidence(cut.action, f"came incomplete{by}"),
                    noted(entry, "the agent answered with it"),
                ],
            )
            return

    def result(self) -> Checked:
        return conclude(
            self.name,
            self._findings,
            {"incomplete": self._incomplete, "trials": self._answered},
            wanted="incomplete",
            missing="no turn and no result came incomplete, so nothing can be said",
            says=f"{self._findings.count:,} answers pass off what came incomplete; "
            f"{self._incomplete:,} texts did, in {self._answered:,} trials",
            measures={"partial_as_complete": float(self._findings.count)},
        )

    def _text(self, action: Action) -> str:
        if action.name.startswith("llm."):
            return text_of_turn(self._payload(str(action.attr("response", ""))))
        return text_of_result(self._payload(str(action.attr("result", ""))))


def _incomplete(action: Action) -> bool:
    if action.attr("complete") is False:
        return True
    return bool(action.faults) and any(fault.name in CUTTING for fault in action.faults)
