"""What a rig that was killed left open, ended on the history as the ledger ended it.

Rules:
1. A rig writes an action's start to the history before the ledger takes it: so whatever the ledger
   charges is on the history.
2. The end may be lost, as entries wait in a buffer for moments. The ledger's word stands for it:
   its journal is never behind. So both always come to the same sums.
3. What an observer saw begin and not end stays open: nobody knows how it ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proofrig.authority.authority import Authority
from proofrig.authority.transition import Transition
from proofrig.history.action import Kind
from proofrig.history.history import History
from proofrig.history.journal import Journal

LOST = "the rig was killed before the call's end was written down"


def settle_open(run_dir: Path, journal: Journal, authority: Authority) -> int:
    """End every action of the run that is open on the history; returns how many were. The ledger's
    open holds are ended first. Call it before the first action of this rig."""
    authority.sweep(everything=True)
    left = [action for action in History(run_dir).actions() if not action.denied]
    left = [action for action in left if action.end is None and action.reserve is not None]
    ends = authority.ends({action.id for action in left})
    for action in left:
        kind, attrs = _end(ends.get(action.id))
        journal.write(
            kind,
            action.name,
            trial=action.trial,
            tenant=action.tenant,
            scope=action.scope,
            id=action.id,
            attrs=attrs,
        )
    return len(left)


def _end(made: Transition | None) -> tuple[Kind, dict[str, Any]]:
    if made is None or made.state not in ("committed", "expired_charged"):
        return "release", {"reason": "the rig was killed before the call was sent"}
    return "commit", {
        "outcome": made.outcome,
        "actual": made.amounts,
        "source": made.source,
        "error": LOST,
    }
