"""The contract of a scenario: what is launched, when, for whom, and what it is to show.

Rules:
1. A scenario is data in, data out: from its parameters and the facts of a suite it makes phases,
   the same for the same seed. The runner carries them out; nothing here waits or starts anything.
2. Phases run one after another on the same shared instances; within a phase, agents are parked
   and released together, or follow one another (`workers`).
3. A trial's id is `<case>@<scenario>:<n>`, unique in the run.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import lcm
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.errors import UsageError
from proofrig.faults._kill_points import KillPoint
from proofrig.faults.fault import Fault
from proofrig.faults.written import Faults, unfolded
from proofrig.scenarios.launch import Schedule

Role = Literal["subject", "helper"]
Count = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Positive = Annotated[float, Field(gt=0, le=86_400)]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a scenario.

    at_ns: when it is to start, after its phase's release; in a phase with workers, how long to
    think first. role: helpers (who fill, probe, or are killed) are no part of the score.
    part: what it does in the scenario: `fill`, `probe`, `control`, `victim`, `long`, ... task:
    asked instead of the case's own. imitates, operator: the case a probe imitates, and how.
    phase: the name of its phase, which it gets when it is launched.
    """

    trial: str
    case: str
    tenant: str
    seed: int
    scenario: str
    at_ns: int = 0
    role: Role = "subject"
    part: str = ""
    phase: str = ""
    task: str | None = None
    imitates: str = ""
    operator: str = ""
    kill: KillPoint | None = None


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Trials that belong together. workers: 0 parks all and starts each at its time; else so many
    follow one another. spread_ms, arrival_ms: the starts, and the first requests at the rig, lie
    within so many milliseconds, or the contention that was asked for was not there. fresh: each
    trial gets shared instances of its own. boxes: each trial gets a box of its own, or those of a
    worker follow one another in the same one, with all that was left there but the worlds."""

    name: str
    starts: tuple[Start, ...]
    workers: int = 0
    spread_ms: float | None = None
    arrival_ms: float | None = None
    fresh: bool = False
    boxes: Literal["fresh", "reused"] = "fresh"


class FactsOfCase(msgspec.Struct, frozen=True):
    """What a scenario may know of a case. `tenant`: the one it is always run for, or ""."""

    id: str
    tags: tuple[str, ...] = ()
    prompt: str = ""
    tenant: str = ""


class Facts(msgspec.Struct, frozen=True):
    """What a scenario is made for: the suite's cases, tenants with their weights, and the seed."""

    cases: tuple[FactsOfCase, ...]
    tenants: Mapping[str, int]
    seed: int


class Settings(BaseModel):
    """Parameters of a scenario as a suite writes them: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scenario(Settings):
    """What all scenarios have. `name` is what users call it; `needs` are the checkers whose verdict
    it is about: where one of them cannot tell, the scenario's verdict is unknown."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()

    agents: Count = 20
    cases: tuple[str, ...] = Field(
        default=(), description="Ids of cases, `*` as in file names, or `tag:<tag>`; none: all."
    )
    spread_ms: Positive = Field(
        default=100.0, description="Agents that start together start within it, or it is unknown."
    )
    arrival_ms: Positive | None = Field(
        default=None,
        description="Their first requests reach the rig within it; default: 100 ms and 10 an agent,"
        " for an agent's own client takes its time.",
    )
    tail_ratio: Positive = Field(
        default=10.0, description="The slowest 1 % may take so many times what they take alone."
    )
    tail_s: Positive | None = Field(
        default=None, description="Instead of tail_ratio: what the slowest 1 % may take, seconds."
    )
    retry_budget: float = Field(
        default=0.2, ge=0, description="Retries over calls, above which it is a storm."
    )
    faults: Faults = ()

    def unmet(self, facts: Facts) -> list[tuple[str, str]]:
        """What names nothing of the suite: (parameter, what it says) each."""
        return [
            (key, one)
            for key in ("cases", "long")
            for one in getattr(self, key, ())
            if not any(_is_meant(case, one) for case in facts.cases)
        ]

    def phases(self, facts: Facts) -> list[Phase]:
        """What to launch. Raises UsageError when the suite has not what it takes."""
        raise NotImplementedError

    def services(self, declared: Sequence[Any]) -> tuple[Any, ...]:
        """The suite's services as they are in this scenario: settings in, settings out."""
        return tuple(declared)

    def disturbances(self) -> tuple[Fault, ...]:
        """What goes wrong because this scenario is what it is."""
        return ()

    def all_faults(self) -> tuple[Fault, ...]:
        """What goes wrong in it, and in no other: its own disturbances, then the suite's `faults`
        for it."""
        found = (*self.disturbances(), *unfolded(self.faults))
        aimed = (fault.on.model_copy(update={"scenario": self.name}) for fault in found)
        return tuple(
            fault.model_copy(update={"on": on}) for fault, on in zip(found, aimed, strict=True)
        )

    def params(self) -> dict[str, Any]:
        """The parameters, for the history; its faults stand there by themselves."""
        return self.model_dump(mode="json", exclude={"faults"})

    def together(self, name: str, starts: tuple[Start, ...]) -> Phase:
        """A phase whose agents are to meet: they start, and reach the rig, within the spread."""
        arrival_ms = self.arrival_ms or 100.0 + 10.0 * self.agents
        return Phase(name=name, starts=starts, spread_ms=self.spread_ms, arrival_ms=arrival_ms)

    def with_agents(self, agents: int) -> Self:
        """The scenario with another number of agents."""
        return self.model_copy(update={"agents": agents})

    def chosen(
        self, facts: Facts, wanted: Sequence[str] = (), key: str = "cases"
    ) -> list[FactsOfCase]:
        """The cases that `wanted`, the value of the parameter `key`, names; else those of `cases`.
        Raises UsageError."""
        wanted = wanted or self.cases
        if not wanted:
            found = list(facts.cases)
        else:
            found = [case for case in facts.cases if any(_is_meant(case, one) for one in wanted)]
        if not found:
            has = ", ".join(case.id for case in facts.cases[:12]) or "none"
            tags = [one[4:] for one in wanted if one.startswith("tag:")]
            tag = f"write `tags: [{tags[0]}]` into those that are meant, or " if tags else ""
            raise UsageError(
                f"scenario {self.name}: expected a case for {', '.join(wanted) or 'its agents'}, "
                f"there are {has}; {tag}name some in `scenarios.{self.name}.{key}`"
            )
        return found


def _is_meant(case: FactsOfCase, wanted: str) -> bool:
    if wanted.startswith("tag:"):
        return wanted[4:] in case.tags
    return fnmatchcase(case.id, wanted)


class Casting:
    """Hands out trials: cases in turn, tenants by weight, a seed for each."""

    def __init__(self, scenario: str, facts: Facts) -> None:
        self._scenario = scenario
        self._facts = facts
        self._given = self._before = 0
        self._mix = tenant_mix(facts.tenants, facts.seed)
        # The cycle is turned by one place whenever it meets the cycle of cases, so that every
        # tenant gets every case, and still as many as its weight says.
        self._turn = lcm(len(self._mix), len(facts.cases) or 1)

    def go_on(self, other: Casting) -> None:
        """Number on from where `other` is."""
        self._before = other._before + other._given

    def start(self, case: FactsOfCase, tenant: str = "", **more: Any) -> Start:
        """The next trial: of `case`, for `tenant` or whoever is next in the mix."""
        place, self._given = self._given, self._given + 1
        number = self._before + self._given
        next_in_mix = self._mix[(place + place // self._turn) % len(self._mix)]
        return Start(
            trial=f"{case.id}@{self._scenario}:{number}",
            case=case.id,
            tenant=tenant or case.tenant or next_in_mix,
            seed=draw(self._facts.seed, self._scenario, case.id, number),
            scenario=self._scenario,
            **more,
        )

    def starts(
        self, cases: Sequence[FactsOfCase], schedule: Schedule, **more: Any
    ) -> tuple[Start, ...]:
        """A trial for each instant of `schedule`, the cases taking turns."""
        return tuple(
            self.start(cases[place % len(cases)], at_ns=at, **more)
            for place, at in enumerate(schedule)
        )


def tenant_mix(weights: Mapping[str, int], seed: int) -> list[str]:
    """A cycle of tenants in which each stands as often as its weight says, well mixed. The first
    places hold every tenant once, so that few agents still are a mix."""
    rest = [name for name, weight in weights.items() for _ in range(weight - 1)]
    shuffle = random.Random(f"tenants {seed}")
    first = list(weights)
    shuffle.shuffle(first)
    shuffle.shuffle(rest)
    return first + rest


def draw(seed: int, *what: object) -> int:
    """A number in [0, 2**53) that depends on nothing else."""
    text = "\0".join(map(str, ("scenario", seed, *what))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11
