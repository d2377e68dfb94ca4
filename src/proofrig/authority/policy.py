"""The compiled policy: what may an action do, and what may a scope use.

Rules:
1. Deny wins over ask, ask over allow, whatever their order; where no rule applies the default
   decides. `strict` denies what may have a side effect; what is undeclared may.
2. What forbids is read broadly, what permits narrowly: see `conditions` and `paths`.
3. An argument that an applicable rule reads and that cannot be read denies, whatever the rule's
   effect. A rule whose tier, step or taint does not fit reads nothing.
4. Every rule that lets an action through has a say: all of their caps count, and the least of
   their max_tokens. A cap on a level that the action's scope does not have denies.
5. A run stands at the last step it has earned. The action that leads to a step counts in the step
   before it: no step is jumped over.
6. A policy keeps no state of runs. What it remembers of names, to be fast, is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from proofrig.authority.arguments import Unread
from proofrig.authority.budget import Amounts
from proofrig.authority.globs import folded, matcher, specificity
from proofrig.authority.limits import Limits, least
from proofrig.authority.paths import Memo
from proofrig.authority.recent import Recent
from proofrig.authority.rule import LEVELS, Rule, States, Where
from proofrig.authority.rules import (
    BY_DEFAULT,
    RISKS,
    PolicySettings,
    Risk,
    check_policy,
    read_policy,
    settings_of,
)
from proofrig.authority.ruling import Act, Ruling, Used
from proofrig.authority.wording import fix_of_default, fix_of_unread
from proofrig.errors import SuiteError
from proofrig.problems import Origin
from proofrig.yaml12 import Document, parse

_REMEMBERED = 8_192  # pairs of a place and a name
_LONGEST = 1_000  # characters of a scope and a name that are worth remembering
_HARMLESS: Final = RISKS[:2]
_CALLS = "calls:"


class _Candidates(msgspec.Struct, frozen=True, gc=False):
    """What a policy has to say of one name in one place. letting: asks, then allows. through: what
    each of `letting` answers when it alone applies; default: when none does. earning: the steps
    the action may lead to, by number. capped: whether one of `letting` has a cap."""

    denying: tuple[Rule, ...]
    letting: tuple[Rule, ...]
    through: dict[str, Ruling]
    default: Ruling
    earning: tuple[int, ...]
    capped: bool


class Policy:
    """Rules and limits, compiled and immutable. `rules`: as written. `counts`: the units
    `calls:<name>` that some limit names. `written`: the whole policy as written."""

    def __init__(self, written: PolicySettings) -> None:
        if problems := check_policy(written, Origin(Document("", None, line=0))):
            raise SuiteError(problems)
        self.written = written
        self.rules = written.rules
        self.table = Limits(written.limits)
        self.states = States(written)
        self.compiled = tuple(Rule(rule, self.states) for rule in written.rules)
        units = {unit.partition("/")[0] for unit in self.table.units}
        self.counts = frozenset(unit for unit in units if unit.startswith(_CALLS) and "." in unit)
        self._capped = [rule for rule in self.compiled if rule.cap_unit]
        self._taints = [(matcher([g], broad=True), f"taint:{t}") for g, t in written.taint.items()]
        self._scopes = [(matcher(globs, broad=True), n) for n, globs in written.scopes.items()]
        self._risks = sorted(
            written.risk.items(), key=lambda one: (specificity(one[0]), RISKS.index(one[1]))
        )
        self._found: Recent[tuple[str, str, str, str], _Candidates] = Recent(_REMEMBERED)
        self._limits: Recent[str, dict[str, int]] = Recent(_REMEMBERED)

    @classmethod
    def of(cls, written: PolicySettings) -> Policy:
        """The policy as compiled. Raises SuiteError when its parts do not fit together."""
        return cls(written)

    def decide(self, act: Act, used: Used, also: tuple[str, ...] = ()) -> Ruling:
        """What the rules say of `act`. used: of its run, see `ruling.Used`. also: scopes that it is
        booked in besides its path; the answer's `also` has them first."""
        levels = act.scope.split("/")
        if len(levels) < LEVELS:
            levels += [""] * (LEVELS - len(levels))
        key = (levels[0], levels[1], levels[2], act.name)
        found = self._found.get(key)
        if found is None:
            found = self._candidates(key)
        memo: Memo = {}
        passed: list[Rule] = []
        rule = None
        try:
            for rule in found.denying:
                if rule.always or rule.applies(act, used, memo):
                    return rule.denial
            for rule in found.letting:
                if rule.always or rule.applies(act, used, memo):
                    passed.append(rule)
        except Unread as unread:
            name = rule.name if rule else ""
            return Ruling("deny", unread.code, name, fix_of_unread(name, unread))
        if not passed:
            ruling = found.default
        elif len(passed) == 1:
            ruling = found.through[passed[0].name]
        else:
            ruling = _together(found.through, passed)
        if ruling.effect == "deny":
            return ruling
        if found.capped:
            for rule in passed:
                if rule.cap_unit and rule.cap_level and not levels[rule.cap_level - 1]:
                    return rule.levelless
        if found.earning and (earned := self.states.earned(found.earning, used)):
            ruling = msgspec.structs.replace(ruling, earns=earned)
        if also:
            scopes = tuple(dict.fromkeys((*also, *ruling.also)))
            ruling = msgspec.structs.replace(ruling, also=scopes)
        return ruling

    def limits(self, scope: str) -> Amounts:
        """What this policy allocates to a scope, a path or `@name`, in the authority's units, with
        the caps of rules as `calls:rule.<name>`; {} for none."""
        found = self._limits.get(scope)
        if found is None:
            caps = (rule.cap_amounts for rule in self._capped if rule.caps(scope))
            found = least([self.table.amounts_of(scope), *caps])
            if len(scope) <= _LONGEST:
                self._limits.put(scope, found)
        return found

    def cannot(self, scope: str, name: str) -> str:
        """The rule, or `default`, that denies this name in this scope whatever its arguments and
        the state of its run; "" when it may be allowed."""
        levels = [*scope.split("/"), "", ""]
        found = self._candidates((levels[0], levels[1], levels[2], name))
        for rule in found.denying:
            if rule.always:
                return rule.name
        return BY_DEFAULT if not found.letting and found.default.effect == "deny" else ""

    def applying(self, act: Act, used: Used) -> list[str]:
        """The names of all rules that apply to `act`, or cannot read an argument of it."""
        levels = [*act.scope.split("/"), "", ""]
        found = self._candidates((levels[0], levels[1], levels[2], act.name))
        memo: Memo = {}
        names = []
        for rule in (*found.denying, *found.letting):
            try:
                if rule.applies(act, used, memo):
                    names.append(rule.name)
            except Unread:
                names.append(rule.name)
        return names

    def booked(self, name: str) -> dict[str, int]:
        """What an action of this name leaves on its run: taints and counted calls."""
        return self.taints(name) | dict.fromkeys(self.counted(name), 1)

    def counted(self, name: str) -> list[str]:
        """The units `calls:<name>` of limits that count an action of this name."""
        alike = folded(name)
        return [unit for unit in sorted(self.counts) if folded(unit.removeprefix(_CALLS)) == alike]

    def capping(self, scope: str, name: str) -> list[tuple[str, str]]:
        """The caps of rules that count every action of this name: where each one counts, and its
        unit."""
        levels = [*scope.split("/"), "", ""]
        found = self._candidates((levels[0], levels[1], levels[2], name))
        rules = (rule for rule in found.letting if rule.always and rule.cap_unit)
        return [(scope if rule.cap_level else rule.per, rule.cap_unit) for rule in rules]

    def ahead(self, name: str, calls: int) -> dict[str, int]:
        """What `calls` further calls of this name, which come first, may still take of whatever
        counts single actions; see `transition.ReserveRequest`."""
        if not calls:
            return {}
        caps = (rule.cap_unit for rule in self.compiled if rule.cap_unit)
        return dict.fromkeys((*self.counted(name), *caps), calls)

    def taints(self, name: str) -> dict[str, int]:
        """The units of the taints that an action of this name leaves on its run."""
        return {unit: 1 for matches, unit in self._taints if matches(name)}

    def _candidates(self, key: tuple[str, str, str, str]) -> _Candidates:
        found = self._found.get(key)
        if found is None:
            found = self._compile(Where(*key))
            if sum(map(len, key)) <= _LONGEST:
                self._found.put(key, found)
        return found

    def _compile(self, where: Where) -> _Candidates:
        fitting = [rule for rule in self.compiled if rule.fits(where)]
        letting = [rule for effect in ("ask", "allow") for rule in fitting if rule.effect == effect]
        units = self.booked(where.name)
        scopes = tuple(name for matches, name in self._scopes if matches(where.name))
        through = {rule.name: rule.ruling(units, scopes) for rule in letting}
        default = Ruling(units=units, also=scopes)
        if not self._allowed_by_default(where.name):
            fix = fix_of_default(where.name, self.written.default)
            default = Ruling("deny", "not_allowed", fix=fix)
        return _Candidates(
            denying=tuple(rule for rule in fitting if rule.effect == "deny"),
            letting=tuple(letting),
            through=through,
            default=default,
            earning=self.states.leading(where.name),
            capped=any(rule.cap_unit for rule in letting),
        )

    def _allowed_by_default(self, name: str) -> bool:
        if self.written.default != "strict":
            return self.written.default == "allow"
        risk = self.risk_of(name) or ("read_only" if name.startswith("llm.") else "side_effect")
        return risk in _HARMLESS

    def risk_of(self, name: str) -> Risk | None:
        """The class that the policy declares of an action's name; None where it says nothing."""
        found = None
        # The glob that says most of the name comes last, the riskier of two that say as much.
        for glob, declared in self._risks:
            if matcher([glob])(name):
                found = declared
        return found


def load_policy(path: Path) -> Policy:
    """The policy in a YAML or JSON file. Raises SuiteError with every problem."""
    return Policy(read_policy(path))


def parse_policy(source: str | bytes | Mapping[str, Any], name: str = "<policy>") -> Policy:
    """The policy in a text or a mapping. Raises SuiteError with every problem."""
    if isinstance(source, Mapping):
        return Policy(settings_of(Document(name, source, line=0)))
    return Policy(settings_of(parse(source, name)))


def _together(through: dict[str, Ruling], passed: list[Rule]) -> Ruling:
    """What several rules answer that all let an action through; the first one, an ask if there is
    one, gives the answer its name."""
    first, *others = (through[rule.name] for rule in passed)
    caps = [ruling.max_tokens for ruling in (first, *others) if ruling.max_tokens is not None]
    waits = [ruling.wait_s for ruling in (first, *others) if ruling.effect == "ask"]
    return msgspec.structs.replace(
        first,
        max_tokens=min(caps, default=None),
        units={unit: n for ruling in (first, *others) for unit, n in ruling.units.items()},
        also=tuple(dict.fromkeys(scope for ruling in (first, *others) for scope in ruling.also)),
        wait_s=min(waits, default=0.0),
    )
