"""`recovers_s`: after the last fault, things of that kind go well again soon.

Rules:
1. For each action name that was struck, the time is from the last fault upon it to the end of the
   next action of that name that went well: a model's turn, a tool's call, a request to a host.
2. Times are the history's own. What never went well again did not recover.
"""

from __future__ import annotations

from proofrig.history.action import Action
from proofrig.verifiers.expectations.struck import Hits, faults_of, verdict
from proofrig.verifiers.verifier import Verdict

_SECOND_NS = 1e9


def recovers(within_s: float, hits: Hits) -> Verdict:
    """Each kind of action that was struck went well within so many seconds."""
    expected = f"success again within {within_s:g} s of the last fault ({hits.says()})"
    last: dict[str, int] = {}
    for action in hits.struck:
        for fault in faults_of(action, hits.meant):
            last[action.name] = max(last.get(action.name, 0), fault.t)
    took = {name: _took(hits.evidence.actions, name, since) for name, since in last.items()}
    late = {name: s for name, s in took.items() if s is None or s > within_s}
    got = ", ".join(
        f"{name} never went well again" if s is None else f"{name} after {s:.2f} s"
        for name, s in (late or took).items()
    )
    return verdict("recovers", not late, expected, got)


def _took(actions: tuple[Action, ...], name: str, since: int) -> float | None:
    """Seconds until an action of this name had gone well; None when none did."""
    ends = [
        action.end.t
        for action in actions
        if action.name == name
        and action.end is not None
        and action.end.t >= since
        and _well(action)
    ]
    return (min(ends) - since) / _SECOND_NS if ends else None


def _well(action: Action) -> bool:
    if action.outcome != "ok" or action.attr("is_error") or action.attr("undelivered"):
        return False
    return int(action.attr("status", 200)) < 400 and action.attr("complete") is not False
