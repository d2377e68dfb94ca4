"""What rules are asked, and what they answer: the seam between the policy and the ledger.

Rules:
1. Rules keep no state. What they need to know of a run (its taints, its step, what a cap has left)
   is a unit of the ledger, booked on the run's own scope, so that a replay brings it back and every
   process that shares a ledger sees the same.
2. `taint:<label>` is held from the moment an action that taints is admitted, and stays when it ends
   in any way but a release: content that may have come counts as come.
3. `step:<name>` is booked when the action that leads to the step has ended ok, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from proofrig.authority.budget import Amounts

Effect = Literal["allow", "ask", "deny"]

# What is used (reserved and spent) of a unit in the scope of the action's own run.
Used = Callable[[str], int]

_NONE: dict[str, Any] = {}


class Act(msgspec.Struct, frozen=True, gc=False):
    """An action as rules see it.

    scope: `tenant/workflow/agent/run`, see `budget.ancestors`. name: `<kind>.<what>`, as on the
    history: `tool.refund`, `llm.chat_completions`, `kv.put`. arguments: the tool's arguments; of a
    call to a model `model`, `max_tokens`, `stream` and `tools` (names). root: the absolute folder
    that relative paths among the arguments start from, "" when not known.
    """

    scope: str
    name: str
    arguments: Mapping[str, Any] = _NONE
    root: str = ""


class Ruling(msgspec.Struct, frozen=True, gc=False):
    """What the rules say of an action.

    code: why not, on deny: `forbidden` (a rule denies it), `not_allowed` (nothing allows it),
    `argument_missing`, `argument_unreadable` (of another type than the rule compares with). rule:
    the name of the rule that decided; "" when none did. fix: what to do about it.
    max_tokens: the output tokens that a call to a model may have at most; None: no cap.
    units: held besides what the action asks for: taints, `calls:<name>` of what some limit or rule
    counts, `calls:rule.<rule>` of rules with a cap. earns: booked when it ends ok: steps.
    also: the user-defined scopes it belongs to besides its path, each beginning with `@`.
    wait_s: on ask, how long an answer is waited for.
    """

    effect: Effect = "allow"
    code: str = ""
    rule: str = ""
    fix: str = ""
    max_tokens: int | None = None
    units: Amounts = _NONE
    earns: Amounts = _NONE
    also: tuple[str, ...] = ()
    wait_s: float = 0.0

    @property
    def plain(self) -> bool:
        """True when it lets an action in and has nothing to add."""
        return self.effect == "allow" and not (
            self.rule or self.units or self.also or self.earns or self.max_tokens is not None
        )


ALLOWED = Ruling()
