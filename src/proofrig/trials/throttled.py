"""Trials that a vendor's limits kept from being measured.

Rules:
1. A call that the vendor refused for good, and that the agent did not get through by asking again,
   may be all that stood between the agent and a pass.
2. So may the time that calls were held back, in a trial that ran out of it.
3. A trial that passes all the same has passed. The limits of a simulated provider are declared by
   the suite: they count.
"""

from __future__ import annotations

from collections.abc import Sequence

from proofrig.agents.agent import Ending
from proofrig.history.action import Action

_SECOND_NS = 1_000_000_000
_SHARE = 10  # a tenth of the trial's time is enough to blame the wait for its end


def throttled(actions: Sequence[Action], ending: Ending, took_ns: int) -> str:
    """What a vendor's limits did to a trial that took so long, for people; "" when they did nothing
    that could have decided it."""
    asked = [action for action in actions if action.name.startswith("llm.") and not action.denied]
    waited_ns = sum(action.attr("throttle_ns", 0) for action in asked)
    waited = f"{waited_ns / _SECOND_NS:.1f} s"
    again = {action.attr("retry_of") for action in asked}
    refused = [one for one in asked if one.attr("throttled") and one.id not in again]
    if refused:
        held = f", after {waited} of waiting" if waited_ns else ""
        return (
            f"throttled: the vendor's limits turned away {len(refused)} of {len(asked)} calls to "
            f"models{held}. Not measured: it says nothing about the agent"
        )
    if ending == "timeout" and waited_ns * _SHARE >= took_ns:
        return (
            f"throttled: the vendor's limits held its calls back for {waited} of the "
            f"{took_ns / _SECOND_NS:.1f} s that it had. Not measured: it says nothing about the "
            "agent"
        )
    return ""
