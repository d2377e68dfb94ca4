"""Effects that an agent had twice because a fault hid the answer of the first call.

Rules:
1. A finding is two equal calls of one trial, both carried out, the second begun after a fault hid
   the answer of the first. Equal is meant as in `anomalies.effects`: idempotency keys set calls
   apart, and one key used twice makes them one.
2. Only tools that are known to change something count: by the policy's `risk`, by an `acts_once` of
   the suite, or by an MCP server's annotations. Hidden answers of other tools are counted as
   `undeclared`, and lead to no finding: reading twice harms nobody.
3. Where nobody knows whether the first call was carried out there is no finding either (`unsure`).
4. Kept are the hidden calls of trials that have not ended.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from proofrig.anomalies.effects import carried_out, wanted
from proofrig.checkers.checker import Checked, Findings, Setting, began, conclude, evidence
from proofrig.history.action import Action, Entry

_What = tuple[str, str]  # tool, arguments without their idempotency key


class _Hidden(msgspec.Struct):
    """A call that was carried out and whose answer a fault hid."""

    action: Action
    key: str


class DuplicateEffects:
    """Finds effects that were had twice."""

    name: ClassVar[str] = "duplicate_effects"
    reads: ClassVar[tuple[str, ...]] = ("tool.",)
    notes: ClassVar[tuple[str, ...]] = ("note.tools_offered", "trial.end")
    timing: ClassVar[bool] = False
    always: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        self._payload = setting.payload
        self._declared = setting.changes
        self._annotated: dict[str, bool] = {}
        self._trials: dict[str, dict[_What, list[_Hidden]]] = {}
        self._findings = Findings()
        self._hidden = self._undeclared = self._unsure = self._again = 0

    def action(self, action: Action) -> None:
        hidden = bool(action.faults) and (action.attr("undelivered") or _failed(action))
        waiting = self._trials.get(action.trial, {})
        if not hidden and not any(name == action.name for name, _ in waiting):
            return
        asked = wanted(self._payload(str(action.attr("arguments", ""))))
        if asked is None or action.denied:
            return
        what = (action.name, asked.arguments)
        times = carried_out(action.end.attrs if action.end is not None else None)
        self._repeated(action, asked.key, waiting.get(what, []), times)
        if hidden:
            self._hide(action, what, asked.key, times)

    def note(self, entry: Entry) -> None:
        if entry.kind == "trial":
            self._trials.pop(entry.trial, None)
        else:
            self._annotated |= _annotations(self._payload(str(entry.attrs.get("list", ""))))

    def result(self) -> Checked:
        hidden, undeclared = self._hidden, self._undeclared
        missing = "no fault hid the answer of a call that had been carried out"
        if undeclared:
            missing = (
                f"{undeclared:,} answers were hidden of tools of which nobody says whether they "
                "change anything: name them under `risk` of the policy, or under `acts_once` of a "
                "case's `expect`"
            )
        return conclude(
            self.name,
            self._findings,
            {
                "hidden": hidden,
                "asked_again": self._again,
                "undeclared": undeclared,
                "unsure": self._unsure,
            },
            wanted="hidden",
            missing=missing,
            says=f"{self._findings.count:,} effects were had twice; of {hidden:,} calls that a "
            f"fault hid the answer of, {self._again:,} were made again",
            measures={"duplicate_effects": float(self._findings.count)},
        )

    def _hide(self, action: Action, what: _What, key: str, times: int | None) -> None:
        changes = self._changes(action.name)
        if times == 0 or changes is False:
            return
        if changes is None:
            self._undeclared += 1
        elif times is None:
            self._unsure += 1
        else:
            self._hidden += 1
            trial = self._trials.setdefault(action.trial, {})
            trial.setdefault(what, []).append(_Hidden(action, key))

    def _repeated(self, action: Action, key: str, before: list[_Hidden], times: int | None) -> None:
        for first in before:
            if began(action) < min(fault.t for fault in first.action.faults):
                continue  # it was on its way already
            self._again += 1
            if not times or (key and key == first.key):
                return
            faults = ", ".join(fault.name for fault in first.action.faults)
            self._findings.add(
                "duplicate_effect",
                f"{action.trial}: {action.name} was carried out twice with the same arguments, "
                f"after {faults} had hidden the first answer",
                [
                    evidence(first.action, f"carried out; {faults} hid the answer"),
                    evidence(action, "carried out again"),
                ],
            )
            return

    def _changes(self, name: str) -> bool | None:
        declared = self._declared(name)
        return declared if declared is not None else self._annotated.get(name)


def _failed(action: Action) -> bool:
    return action.outcome != "ok" or bool(action.attr("is_error"))


def _annotations(listed: bytes | None) -> dict[str, bool]:
    """Which tools of an MCP server change something, where its list says so."""
    try:
        tools = msgspec.json.decode(listed or b"[]")
    except (msgspec.DecodeError, RecursionError):
        return {}
    found: dict[str, bool] = {}
    for tool in tools if isinstance(tools, list) else ():
        hints: Any = tool.get("annotations") if isinstance(tool, dict) else None
        if isinstance(hints, dict) and isinstance(name := tool.get("name"), str):
            if hints.get("readOnlyHint") or hints.get("idempotentHint"):
                found[f"tool.{name}"] = False
            elif hints.get("readOnlyHint") is False or hints.get("destructiveHint"):
                found[f"tool.{name}"] = True
    return found
