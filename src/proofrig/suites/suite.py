"""A suite: the cases, the agent they are put to, and the conditions it runs under.

Rules:
1. What YAML holds and what Python builds are the same object with the same names.
2. `load_suite` hands out suites with nothing left to resolve: every case is listed under `cases`,
   `defaults` are applied, and file names are relative to `dir`.
3. A plan depends on the seed, the cases' ids and the tenants alone: leaving cases out moves
   nothing in the trials that stay.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect
from collections.abc import Collection
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import accumulate
from math import gcd
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from pydantic import Field, PrivateAttr

from proofrig.agents import AnyAgentSettings
from proofrig.authority.prices import PriceTable, default_prices, load_prices, parse_prices
from proofrig.authority.rules import PolicySettings
from proofrig.errors import UsageError
from proofrig.faults.fault import Fault
from proofrig.faults.packs import PACKS
from proofrig.faults.written import Faults, packs_of, unfolded
from proofrig.gateways.egress.settings import EgressSettings
from proofrig.gateways.limits import CallLimits
from proofrig.gateways.tool_settings import AnyToolSettings
from proofrig.providers import AnyProviderSettings
from proofrig.sandboxes.sandbox import Limits
from proofrig.scenarios import Scenarios
from proofrig.scenarios.scenario import Facts, FactsOfCase, Start
from proofrig.services import AnyServiceSettings
from proofrig.suites.authority import AuthoritySettings, policy_of
from proofrig.suites.budgets import Budgets, Prices
from proofrig.suites.case import AgentName, Case, Count, InsidePath, Settings, Tag
from proofrig.suites.constraints import ConstraintSettings, read_constraints
from proofrig.suites.digest import digest_of
from proofrig.suites.gates import AnyGate, BaselineSettings
from proofrig.suites.lanes import Lanes
from proofrig.suites.limits import TrialLimits, box_of, calls_of, in_force
from proofrig.suites.sandbox import SandboxSettings
from proofrig.verifiers import AnyVerifier
from proofrig.verifiers.expectations import Expect

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Tenant = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]

ASKED = frozenset(
    ("description", "repeats", "seed", "gateway_port", "fail_under", "gates", "baseline", "lanes")
)


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One trial to run. `trial` is `<case>:<repeat>`; repeats count from 1. `start`: what its
    scenario says of it, None for one of the plain plan."""

    trial: str
    case: str
    repeat: int
    tenant: str
    seed: int  # in [0, 2**53): every JSON reader holds it exactly
    start: Start | None = None

    @classmethod
    def of(cls, start: Start) -> Planned:
        """The trial that a scenario launches."""
        number = int(start.trial.rpartition(":")[2])
        return cls(start.trial, start.case, number, start.tenant, start.seed, start)


class Retries(Settings):
    """How often a trial is tried again."""

    infra: int = Field(
        default=2, ge=0, le=100, strict=True, description="After a failure around the agent."
    )


class Defaults(Settings):
    """What every case gets."""

    tags: tuple[Tag, ...] = Field(default=(), description="Put before the case's own tags.")
    difficulty: str = Field(default="", description="For cases that name none.")
    acts_as: AgentName = Field(default="", description="For cases that name none.")
    verify: tuple[AnyVerifier, ...] = Field(
        default=(), description="Appended to every case's verifiers."
    )
    expect: Expect | None = Field(
        default=None, description="Under faults; what a case's own `expect` says goes over it."
    )

    def applied(self, case: Case) -> Case:
        """`case` with the defaults in it."""
        named = (self.difficulty and not case.difficulty) or (self.acts_as and not case.acts_as)
        if not (self.tags or self.verify or self.expect or named):
            return case
        return case.model_copy(
            update={
                "tags": tuple(dict.fromkeys((*self.tags, *case.tags))),
                "difficulty": case.difficulty or self.difficulty,
                "acts_as": case.acts_as or self.acts_as,
                "verify": (*case.verify, *self.verify),
                "expect": case.expect.over(self.expect) if case.expect else self.expect,
            }
        )


class Suite(Settings):
    """Everything one run needs to know."""

    suite: Name = Field(description="Its name: a-z, 0-9, _ and -.")
    description: str = ""
    agent: AnyAgentSettings = Field(description="The system under test.")
    model: AnyProviderSettings | None = Field(
        default=None,
        description="The model provider behind the LLM gateway; none: no model is offered.",
    )
    tools: tuple[AnyToolSettings, ...] = Field(default=(), description="What the agent can call.")
    tenants: dict[Tenant, Count] = Field(
        default={"default": 1}, min_length=1, description="Tenant -> weight in the mix of trials."
    )
    budgets: Budgets = Field(
        default=Budgets(), description="Hard limits per run, tenant and suite."
    )
    policy: PolicySettings | InsidePath | None = Field(
        default=None, description="What the agents may do: a file of the suite, or the rules."
    )
    authority: AuthoritySettings = Field(
        default=AuthoritySettings(), description="How the policy and the budgets are applied."
    )
    prices: Prices | InsidePath | None = Field(
        default=None, description="Prices of models: a file of the suite, or the table itself."
    )
    gateway_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        strict=True,
        description="Where the gateways listen on 127.0.0.1, for an agent that is already "
        "deployed; 0: a free port.",
    )
    egress: EgressSettings = Field(
        default=EgressSettings(), description="What agents may call besides models and tools."
    )
    services: tuple[AnyServiceSettings, ...] = Field(
        default=(), description="What the rig holds for all agents to share."
    )
    topology: dict[str, dict[str, Any]] = Field(
        default={},
        description="What is known of other things that agents share: name -> caps, TTLs, ...",
    )
    faults: Faults = ()
    scenarios: Scenarios = Field(
        default=Scenarios(), description="Parameters of the scenarios that `--scenario` runs."
    )
    limits: TrialLimits = Field(default=TrialLimits(), description="What one trial may use.")
    constraints: ConstraintSettings | InsidePath | None = Field(
        default=None,
        description="A constraint file of the suite, or what it holds: further limits.",
    )
    sandbox: SandboxSettings = Field(
        default=SandboxSettings(), description="The boxes that trials run in."
    )
    retries: Retries = Retries()
    repeats: Count = Field(default=1, le=10_000, description="Trials per case.")
    concurrency: Count = Field(default=8, le=100_000, description="Trials at the same time.")
    seed: int = Field(
        default=0, ge=0, lt=1 << 53, strict=True, description="All chance comes from it."
    )
    defaults: Defaults = Field(default=Defaults(), description="What every case gets.")
    fail_under: float | None = Field(
        default=None,
        ge=0,
        le=100,
        strict=True,
        description="The run fails below this pass rate, percent.",
    )
    gates: tuple[AnyGate, ...] = Field(
        default=(), description="What must hold of a run: `accuracy >= 90 %`, and the like."
    )
    baseline: BaselineSettings = Field(
        default=BaselineSettings(), description="What runs are held against, and on which terms."
    )
    lanes: Lanes = Field(
        default={}, description="Ways to run the suite, each with a budget of money and time."
    )
    cases: tuple[Case, ...] = Field(default=(), description="What is asked.")
    cases_from: tuple[str, ...] = Field(
        default=(), description="Files of cases, with * and **: YAML lists, or JSON Lines (.jsonl)."
    )

    _dir: Path = PrivateAttr(default_factory=Path)

    @property
    def name(self) -> str:
        return self.suite

    @property
    def dir(self) -> Path:
        """The folder that file names are relative to."""
        return self._dir

    def at(self, directory: Path) -> Self:
        """The same suite, its cases included, with file names relative to `directory`."""
        moved = self.model_copy(update={"cases": tuple(case.at(directory) for case in self.cases)})
        moved._dir = directory
        return moved

    def timeout_of(self, case: Case) -> float:
        """Seconds that a trial of `case` may take."""
        return case.timeout_s or self.limits.timeout_s

    def constrained(self) -> ConstraintSettings | None:
        """The constraints as settings; None where there are none. Raises SuiteError."""
        if isinstance(self.constraints, str):
            return read_constraints(self.dir / self.constraints)
        return self.constraints

    def all_limits(self) -> tuple[TrialLimits, ...]:
        """The limits and those of the constraints: each holds. Raises SuiteError."""
        given = self.constrained()
        return (self.limits,) if given is None else (self.limits, given.limits())

    def box_limits(self) -> Limits:
        """What the sandbox holds a trial to. Raises SuiteError."""
        return box_of(self.all_limits())

    def call_limits(self) -> CallLimits:
        """What the gateways hold a trial to. Raises SuiteError."""
        return calls_of(self.all_limits())

    def limits_in_force(self) -> dict[str, Any]:
        """What a trial is held to, by the keys of `limits`. Raises SuiteError."""
        return in_force(self.all_limits())

    def whole_policy(self) -> PolicySettings | None:
        """The policy, with the suite's budgets as limits of it; None where there is neither. Raises
        SuiteError."""
        return policy_of(self.policy, self.budgets, self.tenants, self.dir)

    def all_faults(self) -> tuple[Fault, ...]:
        """The faults of the suite, then those of its cases, each aimed at its own."""
        own = (fault for case in self.cases for fault in unfolded(case.faults, case.id))
        return (*unfolded(self.faults), *own)

    def price_table(self) -> PriceTable:
        """The suite's prices, over the bundled ones. Raises SuiteError."""
        if self.prices is None:
            return default_prices()
        if isinstance(self.prices, str):
            return load_prices(self.dir / self.prices).over(default_prices())
        return parse_prices(self.prices.model_dump(exclude_none=True)).over(default_prices())

    def digest(self) -> str:
        """sha256 hex of all that the suite says and of every file it names; independent of where
        it lies. The agent's code is what is tested, not what is said: it does not count. Nor does
        what is asked of the result, and how often (`ASKED`): runs that differ in no more can be
        held against each other."""
        left: dict[str, Any] = {"agent": True, "cases": True, "sandbox": {"isolation"}}
        left |= dict.fromkeys(ASKED, True)
        said = self.model_dump(mode="json", by_alias=True, exclude=left)
        agent = self.agent.model_dump_json(by_alias=True)
        cases = sorted(case.digest() for case in self.cases)
        return digest_of([said, hashlib.sha256(agent.encode()).hexdigest(), cases], self._dir)

    def select(
        self, grep: str = "", tags: Collection[str] = (), cases: Collection[str] = ()
    ) -> Self:
        """The suite with only those cases whose id matches the regular expression `grep`, that
        carry one of `tags`, and whose id is one of `cases` (`*` as in file names).

        Raises UsageError for a bad expression and for a name in `tags` or `cases` that meets no
        case. What remains may be empty.
        """
        try:
            pattern = re.compile(grep)
        except re.error as error:
            raise UsageError(
                f"grep: expected a regular expression, got {grep!r}: {error}"
            ) from None
        known = {tag for case in self.cases for tag in case.tags}
        for tag in tags:
            if tag not in known:
                raise UsageError(f"no case has the tag {tag!r}; {near(tag, known)}")
        ids = {case.id for case in self.cases}
        globs = [wanted for wanted in cases if wanted not in ids]
        for wanted in globs:
            if not any(fnmatchcase(id, wanted) for id in ids):
                raise UsageError(f"no case is named {wanted!r}; {near(wanted, ids)}")
        exact = ids.intersection(cases)
        kept = tuple(
            case
            for case in self.cases
            if pattern.search(case.id)
            and (not tags or not set(tags).isdisjoint(case.tags))
            and (not cases or case.id in exact or any(fnmatchcase(case.id, w) for w in globs))
        )
        return self.model_copy(update={"cases": kept})

    def facts(self, seed: int | None = None) -> Facts:
        """What scenarios may know of the suite."""
        cases = tuple(
            FactsOfCase(case.id, case.tags, case.prompt(), case.tenant or "") for case in self.cases
        )
        return Facts(cases, self.tenants, self.seed if seed is None else seed)

    def declared_topology(self) -> dict[str, dict[str, Any]]:
        """What is declared of everything that agents share, by its name."""
        declared = {service.name: service.topology() for service in self.services}
        return declared | self.topology

    def shared_files(self) -> dict[str, str]:
        """Absolute globs of the files that agents share, by their name in the topology."""
        root = self._dir.absolute()
        return {
            name: str(root / declared["path"])
            for name, declared in self.topology.items()
            if declared.get("type") == "files" and isinstance(declared.get("path"), str)
        }

    def with_tenants(self, count: int) -> Self:
        """The suite with `count` tenants: the first of its own, and `tenant-<n>` of weight 1 where
        it has fewer."""
        given = dict(list(self.tenants.items())[:count])
        for number in range(1, count + 1):
            if len(given) < count:
                given.setdefault(f"tenant-{number}", 1)
        return self.model_copy(update={"tenants": given})

    def with_faults(self, packs: Collection[str], *, own: bool = True) -> Self:
        """The suite with further packs of faults; without its `own`, those of its cases included,
        where they are not wanted. Raises UsageError for a pack that is none."""
        for name in packs:
            if name not in PACKS:
                raise UsageError(f"there is no pack of faults {name!r}; {near(name, PACKS)}")
        mine = self.faults if own else ()
        update: dict[str, Any] = {"faults": (*mine, *packs_of(packs))}
        if not own:
            bare = (case.model_copy(update={"faults": ()}) for case in self.cases)
            update["cases"] = tuple(bare)
        return self.model_copy(update=update)

    def plan(self, repeats: int | None = None, seed: int | None = None) -> tuple[Planned, ...]:
        """Every trial, in the order to launch: the first repeat of all cases, then the second."""
        seed = self.seed if seed is None else seed
        return tuple(
            Planned(
                trial=f"{case.id}:{repeat}",
                case=case.id,
                repeat=repeat,
                tenant=case.tenant or _tenant(self.tenants, case.id, repeat, seed),
                seed=_draw("seed", seed, case.id, repeat),
            )
            for repeat in range(1, (repeats or self.repeats) + 1)
            for case in self.cases
        )


def near(word: str, known: Collection[str]) -> str:
    """ "did you mean ...?" or what there is."""
    if close := get_close_matches(word, sorted(known), n=1):
        return f"did you mean {close[0]!r}?"
    some = sorted(known)[:12]
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there are: {', '.join(some)}{more}" if some else "there are none"


def _draw(what: str, seed: int, case: str, repeat: int) -> int:
    """A number in [0, 2**53) that depends on nothing else."""
    text = f"{what}\0{seed}\0{case}\0{repeat}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11


def _tenant(weights: dict[str, int], case: str, repeat: int, seed: int) -> str:
    """Each case walks the weighted cycle of tenants from a place of its own, so that its repeats
    are shared out by weight, and so is the suite."""
    ends = list(accumulate(weights.values()))
    total = ends[-1]
    stride = round(total * 0.618) or 1  # far from the last place, and so that
    while gcd(stride, total) > 1:  # every place of the cycle is visited
        stride += 1
    place = (_draw("tenant", seed, case, 0) + repeat * stride) % total
    return list(weights)[bisect(ends, place)]
