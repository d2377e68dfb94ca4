"""Results that were believed though they were out of date, another call's, or had come before.

Rules:
1. What counts is what entered the agent's context (`accepted`, at `at_ns` where the note was
   written later), not what arrived: a late result that was dropped is how it should be.
2. A result is stale when its call was superseded, or had ended with nobody knowing how, before it
   was accepted; or when its version is below one that was accepted before, in the same trial, from
   the same tool with the same arguments.
3. It is misbound when it was taken for another call's. It is a duplicate when it was delivered
   twice and accepted twice. A message is done twice when two receivers of it were told that their
   acknowledgement counted.
4. Kept are the calls of trials that have not ended, and the messages that were delivered again.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from proofrig.checkers.checker import (
    Checked,
    Evidence,
    Findings,
    Setting,
    conclude,
    ended,
    evidence,
    noted,
)
from proofrig.history.action import Action, Entry

TWICE = "duplicate_delivery"
_DISORDERS = {"late_result": "late", "reordered_results": "out of order", TWICE: "twice"}


class _Call(msgspec.Struct, gc=False):
    """A tool call that has ended; `model_id` is what the model called it."""

    what: tuple[str, Any]  # tool, arguments
    outcome: str
    at: int
    model_id: str


class _Trial(msgspec.Struct):
    """What is known of a trial that goes on. By call: its action, or the model's id of it,
    whichever a note names. told: acceptances that were told, by call and by who told them."""

    calls: dict[str, _Call] = {}
    by_model_id: dict[str, list[str]] = {}
    superseded: dict[str, Entry] = {}
    disordered: dict[str, Entry] = {}
    accepted: dict[str, Entry] = {}
    told: dict[tuple[str, bool], int] = {}
    newest: dict[tuple[str, Any], tuple[int, Entry]] = {}  # version accepted, by what was called
    found: set[tuple[str, str]] = set()

    def call(self, named: str) -> str:
        """The action that a note names, by its id or by the model's; the name itself where that is
        not known, or several calls have it."""
        ids = self.by_model_id.get(named, ())
        return ids[0] if len(ids) == 1 and named not in self.calls else named

    def of(self, notes: dict[str, Entry], call: str) -> Entry | None:
        """The note about a call, by either of its names."""
        known = self.calls.get(call)
        return notes.get(call) or (notes.get(known.model_id) if known is not None else None)


class StaleResult:
    """Stale, misbound and duplicate results that an agent took for good."""

    name: ClassVar[str] = "stale_result"
    reads: ClassVar[tuple[str, ...]] = ("tool.", "queue.receive", "queue.ack")
    notes: ClassVar[tuple[str, ...]] = ("note.accepted", "note.superseded", "trial.end")
    timing: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self._trials: dict[str, _Trial] = {}
        self._again: dict[tuple[str, str], Action] = {}  # messages that were delivered again
        self._acked: dict[tuple[str, str], Action] = {}
        self._findings = Findings()
        self._accepted = self._disordered = self._superseded = self._stale = 0

    def action(self, action: Action) -> None:
        if action.name.startswith("tool."):
            said = action.reserve.attrs if action.reserve is not None else {}
            what, model_id = (action.name, said.get("arguments")), said.get("call_id", "")
            trial = self._trial(action.trial)
            trial.calls[action.id] = _Call(what, action.outcome, ended(action), model_id)
            if model_id:
                trial.by_model_id.setdefault(model_id, []).append(action.id)
            for fault in action.faults:
                if _kind(fault):
                    self._disordered += 1
                    trial.disordered[action.id] = fault
            return
        message = action.attr("message")
        if not message or action.outcome != "ok":
            return
        which = (str(action.attr("service", "")), str(message))
        if action.name == "queue.receive":
            if action.attr("delivery", 1) > 1:
                self._disordered += which not in self._again
                self._again[which] = action
        elif which in self._again:
            self._ack(which, action)

    def note(self, entry: Entry) -> None:
        if entry.kind == "trial":
            self._trials.pop(entry.trial, None)
            return
        trial, call = self._trial(entry.trial), str(entry.attrs.get("call", ""))
        if entry.name == "superseded":
            self._superseded += 1
            trial.superseded.setdefault(call, entry)
        else:
            self._accept(trial, entry)

    def result(self) -> Checked:
        checked = conclude(
            self.name,
            self._findings,
            {
                "accepted": self._accepted,
                "disordered": self._disordered,
                "superseded": self._superseded,
            },
            wanted="disordered",
            missing="no tool result came late or out of order, so nothing can be said",
            says=f"{self._stale:,} of {self._accepted:,} accepted results should not have been; "
            f"{self._disordered:,} were disordered, {self._superseded:,} calls superseded",
            measures={"stale_accepted": float(self._stale)},
        )
        if checked.verdict == "valid" and not self._accepted:
            checked.verdict = "unknown"
            checked.says = (
                f"{self._disordered:,} results were disordered, but no agent said what it accepted"
            )
        return checked

    def _trial(self, name: str) -> _Trial:
        trial = self._trials.get(name)
        if trial is None:
            trial = self._trials[name] = _Trial()
        return trial

    def _accept(self, trial: _Trial, entry: Entry) -> None:
        attrs = entry.attrs
        call = trial.call(str(attrs.get("call", "")))
        given_as = trial.call(str(attrs.get("given_as") or call))
        at = int(attrs.get("at_ns", entry.t))
        # The rig reads acceptances out of prompts, an agent may tell of them too: two tellers, one
        # acceptance.
        source = (call, bool(entry.tenant))
        trial.told[source] = trial.told.get(source, 0) + 1
        first = trial.accepted.setdefault(call, entry)
        self._accepted += first is entry
        known = trial.calls.get(call)
        if given_as != call:
            says = f"the result of {call} was taken for that of {given_as}"
            self._add("misbound_result", says, trial, call, entry)
        since = trial.of(trial.superseded, call)
        if since is not None and since.t < at:
            by = since.attrs.get("by")
            says = f"superseded by {by}" if by else "given up"
            self._add("stale_result", f"{call} had been {says}", trial, call, entry)
        elif known is not None and known.outcome == "unknown" and 0 <= known.at < at:
            says = f"{call} had ended with nobody knowing how"
            self._add("stale_result", says, trial, call, entry)
        else:
            self._version(trial, call, known, entry)
        if trial.told[source] == 2 and _kind(trial.of(trial.disordered, call)) == "twice":
            extra = (noted(first, "accepted for the first time"),)
            self._add("duplicate_result", f"{call} was accepted twice", trial, call, entry, extra)

    def _version(self, trial: _Trial, call: str, known: _Call | None, entry: Entry) -> None:
        version = entry.attrs.get("version")
        if version is None or known is None:
            return
        newest = trial.newest.get(known.what)
        if newest is None or version >= newest[0]:
            trial.newest[known.what] = (version, entry)
            return
        says = f"{known.what[0]} gave version {version} after {newest[0]} had been accepted"
        extra = (noted(newest[1], f"version {newest[0]} was accepted"),)
        self._add("stale_result", says, trial, call, entry, extra)

    def _add(
        self,
        kind: str,
        says: str,
        trial: _Trial,
        call: str,
        entry: Entry,
        *more: tuple[Evidence, ...],
    ) -> None:
        """A finding: the call, what was done to it, and its acceptance. One of a kind per call."""
        if (kind, call) in trial.found:
            return
        self._stale += not any(one == call for _, one in trial.found)
        trial.found.add((kind, call))
        witness = [one for some in more for one in some]
        if (known := trial.calls.get(call)) is not None and known.at >= 0:
            shown = f"ended {known.outcome}"
            witness.append(
                Evidence(known.at, known.what[0], shown, call, entry.trial, entry.tenant)
            )
        if (since := trial.of(trial.superseded, call)) is not None:
            witness.append(noted(since, f"{call} was superseded"))
        if (done := trial.of(trial.disordered, call)) is not None:
            witness.append(noted(done, f"the result of {call} came {_kind(done) or 'disordered'}"))
        witness.append(noted(entry, f"the result of {call} was accepted"))
        self._findings.add(kind, f"{entry.trial}: {says}, yet its result was believed", witness)

    def _ack(self, which: tuple[str, str], action: Action) -> None:
        first = self._acked.setdefault(which, action)
        if first is action or first.trial == action.trial:
            return
        self._stale += 1
        self._findings.add(
            "duplicate_effect",
            f"{which[0]}: message {which[1]} was done by {first.trial} and by {action.trial}; both "
            "acknowledgements counted",
            [
                evidence(self._again[which], "delivered again"),
                evidence(first, "acknowledged"),
                evidence(action, "acknowledged again"),
            ],
        )


def _kind(fault: Entry | None) -> str:
    """What a fault did to the delivery of a result; "" when nothing was done to it."""
    if fault is None or (fault.name == TWICE and fault.attrs.get("what") != "result"):
        return ""
    return _DISORDERS.get(fault.name, "")
