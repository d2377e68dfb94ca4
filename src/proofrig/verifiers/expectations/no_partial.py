"""`no_partial`: what came incomplete is not presented as complete.

Rules:
1. Incomplete is a turn of a model that ended before its terminal event, and what a fault cut short:
   a turn or a tool's result.
2. The answer must not consist of such a text or end in it, unless it says so, or the same came
   whole later (`anomalies.partial`).
"""

from __future__ import annotations

from collections.abc import Iterator

from proofrig.anomalies.partial import (
    CUTTING,
    excused,
    passed_off,
    squeezed,
    text_of_result,
    text_of_turn,
)
from proofrig.history.action import Action
from proofrig.verifiers.expectations.struck import Hits, faults_of, verdict
from proofrig.verifiers.verifier import Verdict, cut


def no_partial(hits: Hits) -> Verdict:
    """The answer passes no struck text off as whole."""
    expected = f"nothing incomplete presented as complete, under {hits.says()}"
    actions = list(hits.evidence.actions)
    looked = 0
    for place, action in enumerate(actions):
        if action not in hits.struck or not _incomplete(action, hits):
            continue
        text = _text(action, hits)
        looked += bool(text)
        later = (_text(one, hits) for one in _whole(actions[place + 1 :], hits))
        if passed_off(hits.evidence.answer, text) and not excused(text, later):
            got = f"an answer that ends in what {action.name} brought incomplete: "
            return verdict("no_partial", False, expected, got + repr(cut(squeezed(text)[-80:])))
    return verdict("no_partial", True, expected, f"{looked} incomplete texts, none passed off")


def _incomplete(action: Action, hits: Hits) -> bool:
    if action.attr("complete") is False:
        return True
    return any(fault.name in CUTTING for fault in faults_of(action, hits.meant))


def _whole(later: list[Action], hits: Hits) -> Iterator[Action]:
    for action in later:
        if action.outcome == "ok" and not _incomplete(action, hits):
            yield action


def _text(action: Action, hits: Hits) -> str:
    payload = hits.evidence.payload
    if action.name.startswith("llm."):
        return text_of_turn(payload(str(action.attr("response", ""))))
    return text_of_result(payload(str(action.attr("result", ""))))
