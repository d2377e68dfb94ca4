"""`claim`: an answer that says something was done needs the action that did it.

Rules:
1. When the answer matches `when` (and not `unless`), every tool call under `needs` must be on the
   history with outcome ok. What the model asked for is no proof; what a gateway saw done is.
2. Listed arguments must have been passed with their values; further arguments are free.
3. A call whose outcome is unknown, or whose arguments were not kept, leaves the claim not
   measured when no other call proves it. A call whose result was an error is not ok.
4. An answer that makes no claim passes: put another verifier beside it that asks for the work.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.history.action import Action
from proofrig.verifiers._values import covers, nfc, same_tool, show
from proofrig.verifiers.verifier import Evidence, Pattern, Verdict, Verifier

TOOL = "tool."  # how the name of a tool's action begins


class Need(BaseModel):
    """A tool call that must have gone well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    arguments: dict[str, Any] = {}


class Claim(Verifier):
    """An answer that matches `when` is backed by the calls under `needs`."""

    type: Literal["claim"] = "claim"
    when: Pattern
    unless: Pattern = ""
    needs_: Need | tuple[Need, ...] = Field(alias="needs")
    ignore_case: bool = True

    def needs(self) -> frozenset[str]:
        return frozenset({"actions"})

    def verify(self, evidence: Evidence) -> Verdict:
        claimed = self._claimed(evidence.answer)
        if not claimed:
            expected = f"no claim of /{self.when}/ without its action"
            return self.verdict(True, expected=expected, got="no such claim")
        needs = (self.needs_,) if isinstance(self.needs_, Need) else self.needs_
        expected = f"{' and '.join(_line(need) for need in needs)} with outcome ok"
        made = [action for action in evidence.actions if action.name.startswith(TOOL)]
        outcomes = {_line(need): _best(need, made, evidence) for need in needs}
        lacking = {line: best for line, best in outcomes.items() if best != "ok"}
        got = "; ".join(f"{line}: {best}" for line, best in (lacking or outcomes).items())
        unsure = bool(lacking) and set(lacking.values()) == {"unknown"}
        passed = None if unsure else not lacking
        return self.verdict(passed, expected=expected, got=got, why=f"answer: {show(claimed)}")

    def _claimed(self, answer: str) -> str:
        """What the answer claims, or "" when it claims nothing."""
        flags = re.IGNORECASE if self.ignore_case else re.NOFLAG
        text = nfc(answer)
        found = re.search(nfc(self.when), text, flags)
        if found is None or (self.unless and re.search(nfc(self.unless), text, flags)):
            return ""
        return text[max(0, found.start() - 40) : found.end() + 40].strip() or self.when


def _best(need: Need, made: list[Action], evidence: Evidence) -> str:
    """The best that became of the calls that meet `need`."""
    calls = [action for action in made if same_tool(action.name.removeprefix(TOOL), need.tool)]
    outcomes = {_outcome(need, action, evidence) for action in calls}
    for outcome in ("ok", "unknown", "fail"):
        if outcome in outcomes:
            return outcome
    return "never called" if not calls else "called with other arguments only"


def _outcome(need: Need, action: Action, evidence: Evidence) -> str:
    """What became of one call, or "other" when it had other arguments."""
    failed = action.outcome == "fail" or action.attr("is_error") is True
    if need.arguments:
        data = evidence.payload(action.attr("arguments", ""))
        try:
            passed = msgspec.json.decode(data or b"")
        except (msgspec.DecodeError, RecursionError):  # not kept, or cut at the payload cap
            return "fail" if failed else "unknown"
        if not covers(need.arguments, passed):
            return "other"
    return "fail" if failed else action.outcome


def _line(need: Need) -> str:
    return f"{need.tool}({show(need.arguments) if need.arguments else ''})"
