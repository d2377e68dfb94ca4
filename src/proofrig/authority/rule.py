"""One compiled rule, and the states of a run that rules look at.

Rules:
1. Where a rule applies (names, tenants, workflows, agents, tier) is settled once per place and
   name; the state of the run and the arguments are looked at for every action.
2. The state comes first: a rule that does not fit it reads no argument. CEL comes last: it is read
   when everything else of the rule holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from proofrig.authority.conditions import condition
from proofrig.authority.expressions import Expression
from proofrig.authority.globs import matcher
from proofrig.authority.paths import Memo, path_condition
from proofrig.authority.rules import DEFAULT_WAIT_S, PolicySettings, RuleSettings
from proofrig.authority.ruling import Act, Ruling, Used
from proofrig.authority.wording import fix_of

LEVELS = 4  # tenant, workflow, agent, run
_LEVEL = {"tenant": 1, "workflow": 2, "agent": 3, "run": 4}


class Where(NamedTuple):
    """A place in the tree of scopes, down to the agent, and the name of an action there."""

    tenant: str
    workflow: str
    agent: str
    name: str


class States:
    """Taints, steps and tiers of a policy. Of a run, `used` tells them."""

    def __init__(self, written: PolicySettings) -> None:
        self._labels = tuple(dict.fromkeys(written.taint.values()))
        self._steps = tuple(step.name for step in written.steps)
        self._units = tuple(f"step:{name}" for name in self._steps)
        self._after = [matcher(step.after) if step.after else None for step in written.steps]
        self.tiers = tuple(written.tiers)
        self._agents = [matcher(globs) for globs in written.tiers.values()]

    def tier(self, agent: str) -> int:
        """The number of an agent's highest tier; -1 for none."""
        ranks = [rank for rank, matches in enumerate(self._agents) if matches(agent)]
        return max(ranks, default=-1)

    def taints(self, used: Used) -> list[str]:
        return [label for label in self._labels if used(f"taint:{label}") > 0]

    def tainted(self, used: Used, wanted: bool | str) -> bool:
        """Whether the run fits what a rule wants: a label, any (True), none (False)."""
        if isinstance(wanted, str):
            return used(f"taint:{wanted}") > 0
        return bool(self.taints(used)) is wanted

    def step(self, used: Used) -> str:
        """Where the run stands; "" when the policy has no steps."""
        return self._steps[self._reached(used)] if self._steps else ""

    def facts(self, used: Used, agent: str) -> dict[str, Any]:
        """The run as expressions see it."""
        taints, tier = self.taints(used), self.tier(agent)
        return {
            "tainted": bool(taints),
            "taints": taints,
            "step": self.step(used),
            "tier": self.tiers[tier] if tier >= 0 else "",
        }

    def leading(self, name: str) -> tuple[int, ...]:
        """The steps, by number, that an action of this name may lead to."""
        return tuple(n for n, after in enumerate(self._after) if after is not None and after(name))

    def earned(self, leading: Sequence[int], used: Used) -> dict[str, int]:
        """What is booked when the action ends ok: the step after the present one, if it leads
        there."""
        following = self._reached(used) + 1
        return {self._units[following]: 1} if following in leading else {}

    def _reached(self, used: Used) -> int:
        last = len(self._units) - 1
        while last > 0 and used(self._units[last]) <= 0:
            last -= 1
        return max(last, 0)


class Rule:
    """A rule as compiled. `always`: it applies to every action where it `fits`.

    cap_unit: the unit its cap counts in, "" without one; cap_level: the level of the scopes that
    are capped, from 1, 0 for a user-defined scope, which `per` names.
    """

    def __init__(self, rule: RuleSettings, states: States) -> None:
        self.name, self.effect, self._rule, self._states = rule.name, rule.effect, rule, states
        permits = rule.effect == "allow"
        self._names = matcher(rule.names, broad=not permits)
        self._levels = [
            matcher(globs, broad=not permits) if globs else None
            for globs in (rule.tenants, rule.workflows, rule.agents)
        ]
        self._below = states.tiers.index(rule.below) if rule.below else None
        self._steps = frozenset(rule.step or ())
        self._conditions = [
            condition(name, wanted.operators(), permits=permits)
            for name, wanted in (rule.when or {}).items()
        ]
        self._paths = [
            path_condition(name, globs, permits=permits)
            for name, globs in (rule.paths or {}).items()
        ]
        self._expression = None if rule.cel is None else Expression(rule.cel)
        self._stateful = bool(self._steps) or rule.tainted is not None
        self.always = not (
            self._stateful or self._conditions or self._paths or self._expression is not None
        )
        self._compile_cap()
        fix = fix_of(rule)
        self.denial = Ruling("deny", "forbidden", rule.name, fix)
        self._fix = fix if rule.effect == "ask" else ""
        self._wait_s = DEFAULT_WAIT_S if rule.wait_s is None else rule.wait_s

    def fits(self, where: Where) -> bool:
        """Whether the rule may apply to actions of this name in this place."""
        if not self._names(where.name):
            return False
        if any(matches and not matches(n) for matches, n in zip(self._levels, where, strict=False)):
            return False
        return self._below is None or self._states.tier(where.agent) < self._below

    def applies(self, act: Act, used: Used, memo: Memo) -> bool:
        """Whether the rule applies to an action where it fits. Raises Unread."""
        if self._stateful and not self._in_state(used):
            return False
        holds = True
        arguments = act.arguments
        for fits in self._conditions:
            if not fits(arguments):
                holds = False
        for lies in self._paths:
            if not lies(arguments, act.root, memo):
                holds = False
        if holds and self._expression is not None:
            return self._expression.holds(self._variables(act, used))
        return holds

    def ruling(self, units: dict[str, int], also: tuple[str, ...]) -> Ruling:
        """What the rule answers when it alone lets an action through."""
        if self.cap_unit:
            units = {**units, self.cap_unit: 1}
            if not self.cap_level and self.per not in also:
                also = (*also, self.per)
        return Ruling(
            effect=self.effect,
            rule=self.name,
            fix=self._fix,
            max_tokens=self._rule.max_tokens,
            units=units,
            also=also,
            wait_s=self._wait_s if self.effect == "ask" else 0.0,
        )

    def caps(self, scope: str) -> bool:
        """Whether the rule's cap is a limit of `scope`."""
        if scope.startswith("@") or not self.cap_level:
            return scope == self.per
        levels = scope.split("/")
        if len(levels) != self.cap_level:
            return False
        wanted = zip(self._levels, levels, strict=False)
        return all(matches is None or matches(level) for matches, level in wanted)

    def _compile_cap(self) -> None:
        cap = self._rule.cap
        self.cap_unit = f"calls:rule.{self.name}" if cap else ""
        self.cap_amounts: dict[str, int] = {}
        self.per = cap.per if cap else ""
        self.cap_level = _LEVEL.get(self.per, 0)
        if cap is not None:
            window = f"/{cap.every}" if cap.every else ""
            self.cap_amounts[self.cap_unit + window] = cap.calls
        said = (
            f"rule {self.name} counts per {self.per}: expected a scope "
            f"tenant/workflow/agent/run with a {self.per}, got one without; name it in the scope"
        )
        self.levelless = Ruling("deny", "not_allowed", self.name, said)

    def _in_state(self, used: Used) -> bool:
        tainted = self._rule.tainted
        if tainted is not None and not self._states.tainted(used, tainted):
            return False
        return not self._steps or self._states.step(used) in self._steps

    def _variables(self, act: Act, used: Used) -> dict[str, Any]:
        """What the expression reads of an action and its run."""
        wanted = self._expression.variables if self._expression is not None else frozenset()
        levels = [*act.scope.split("/"), *[""] * LEVELS]
        found: dict[str, Any] = {}
        if "args" in wanted:
            found["args"] = act.arguments
        if "run" in wanted:
            found["run"] = self._states.facts(used, levels[2])
        if "action" in wanted:
            found["action"] = {"name": act.name, "kind": act.name.partition(".")[0]}
        if "scope" in wanted:
            found["scope"] = dict(zip(_LEVEL, levels, strict=False))
        return found
