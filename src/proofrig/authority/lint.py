"""What in a policy has no effect, found by running it over recorded actions.

Rules:
1. A rule that never matched, a rule that an unconditional deny always forestalls, a taint, step or
   tier that rules ask for and that never came about, and a limit whose scopes never came up are
   remarked on: a misspelt glob forbids nothing, and says so nowhere else.
2. A rule whose globs name no kind is remarked on without any recorded action.
3. Recorded actions are taken as if they had run one after another under this policy and ended ok:
   what it denies taints nothing and leads to no step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from proofrig.authority.budget import ancestors
from proofrig.authority.globs import folded, matcher
from proofrig.authority.policy import Policy
from proofrig.authority.rule import LEVELS
from proofrig.authority.rules import RuleSettings
from proofrig.authority.ruling import Act

_KINDLESS = frozenset(".*?")  # without any of these a glob matches no <kind>.<what>
_ANY = "\N{WHITE SQUARE}"

About = Literal["rule", "taint", "step", "tier", "limit"]


class Remark(msgspec.Struct, frozen=True):
    """about and name: what is remarked on, as in `rule`, `five-refunds`. says: why."""

    about: About
    name: str
    says: str

    def __str__(self) -> str:
        return f"{self.about} {self.name}: {self.says}"


def lint(policy: Policy, acts: Iterable[Act]) -> list[Remark]:
    """What has no effect on `acts`, in the order of the policy. The order of `acts` is the order
    they happened in; those of one run share the first four levels of their scope."""
    seen = _Seen(policy)
    for act in acts:
        seen.add(act)
    remarks = []
    for place, rule in enumerate(policy.rules):
        if forestalled := _forestalled(place, policy):
            said = f"never decides: rule {forestalled} denies all of it; remove one of them"
            remarks.append(Remark("rule", rule.name, said))
        elif said := _without_a_kind(rule.names):
            remarks.append(Remark("rule", rule.name, said))
        elif rule.name not in seen.applied:
            said = f"matched none of {seen.acts:,} recorded actions; check its globs and conditions"
            remarks.append(Remark("rule", rule.name, said))
    remarks += _never_set(policy, seen)
    for pattern in policy.table.unused(seen.scopes):
        if not pattern.startswith("@") or pattern in policy.written.scopes:
            said = "no recorded scope matches; a scope has as many levels as its pattern"
            remarks.append(Remark("limit", pattern, said))
    return remarks


class _Seen:
    """What recorded actions brought about."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._runs: dict[str, dict[str, int]] = {}
        self.acts = 0
        self.applied: set[str] = set()
        self.scopes: set[str] = set()
        self.units: set[str] = set()
        self.agents: set[str] = set()

    def add(self, act: Act) -> None:
        levels = act.scope.split("/")
        used = self._runs.setdefault("/".join(levels[:LEVELS]), {})

        def used_of(unit: str) -> int:
            return used.get(unit, 0)

        self.acts += 1
        self.applied.update(self._policy.applying(act, used_of))
        ruling = self._policy.decide(act, used_of)
        if ruling.effect != "deny":
            for unit, amount in (*ruling.units.items(), *ruling.earns.items()):
                used[unit] = used.get(unit, 0) + amount
                self.units.add(unit)
        self.scopes.update((*ancestors(act.scope), *ruling.also))
        if len(levels) >= LEVELS - 1:
            self.agents.add(levels[LEVELS - 2])


def _never_set(policy: Policy, seen: _Seen) -> Iterator[Remark]:
    rules = policy.rules
    for label in dict.fromkeys(rule.tainted for rule in rules if isinstance(rule.tainted, str)):
        if f"taint:{label}" not in seen.units:
            yield Remark("taint", label, "a rule asks for it, and no recorded action set it")
    first = policy.written.steps[0].name if policy.written.steps else ""
    for step in dict.fromkeys(name for rule in rules for name in rule.step or ()):
        if step != first and f"step:{step}" not in seen.units:
            yield Remark("step", step, "a rule asks for it, and no recorded run came to it")
    for tier in dict.fromkeys(rule.below for rule in rules if rule.below):
        if not any(map(matcher(policy.written.tiers[tier]), seen.agents)):
            yield Remark("tier", tier, "a rule asks for it, and no recorded agent has it")


def _without_a_kind(globs: Sequence[str]) -> str:
    """Why none of `globs` can match an action; "" when one may."""
    if not all(_KINDLESS.isdisjoint(glob) for glob in globs):
        return ""
    return (
        f"no action is called {' or '.join(globs)}: names are <kind>.<what>, such as "
        f"tool.{globs[0]}"
    )


def _forestalled(place: int, policy: Policy) -> str:
    """The unconditional deny that takes in everything the rule at `place` may apply to; "" for
    none. Of two that take in each other, the later one is forestalled."""
    rule, compiled = policy.rules[place], policy.compiled[place]
    for other, deny in enumerate(policy.compiled):
        if deny.effect != "deny" or not deny.always or other == place:
            continue
        if not _takes_in(policy, policy.rules[other], rule):
            continue
        alike = compiled.effect == "deny" and compiled.always
        if other < place or not (alike and _takes_in(policy, rule, policy.rules[other])):
            return deny.name
    return ""


def _takes_in(policy: Policy, wide: RuleSettings, narrow: RuleSettings) -> bool:
    """Whether `wide` fits wherever `narrow` does, tiers included."""
    tiers = list(policy.written.tiers)
    if wide.below is not None and (
        narrow.below is None or tiers.index(narrow.below) > tiers.index(wide.below)
    ):
        return False
    pairs: Sequence[tuple[Sequence[str] | None, Sequence[str] | None]] = (
        (wide.names, narrow.names),
        (wide.tenants, narrow.tenants),
        (wide.workflows, narrow.workflows),
        (wide.agents, narrow.agents),
    )
    return all(w is None or (n is not None and _globs_take_in(w, n)) for w, n in pairs)


def _globs_take_in(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether each narrow glob is taken in by one wide glob, shown by names that it matches: with
    nothing and with much in the place of its stars. Characters no name has stand for any."""
    return all(any(_takes_in_glob(one, glob) for one in wide) for glob in narrow)


def _takes_in_glob(wide: str, narrow: str) -> bool:
    matches = matcher([folded(wide)])
    names = (folded(narrow).replace("?", _ANY).replace("*", many) for many in ("", _ANY * 100))
    return all(map(matches, names))
