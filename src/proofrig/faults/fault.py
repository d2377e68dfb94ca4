"""The contract of a fault: what goes wrong, for whom, when, and how it is taken back.

A fault stands in the way of a call: between the agent and whoever answers it, at the LLM, tool or
egress gateway, or before an operation of a shared service.

Rules:
1. A fault strikes what its `on` names, by a draw from the seed, inside the times of its `when`;
   nobody's draw depends on anybody else's calls.
2. It says `hit.struck(...)` at the moment at which it takes effect, and not before: a fault that
   never fired is told from one that did. That is the entry `fault` on the history, with the action.
3. What it did to its surroundings it undoes by `hit.undo(after_s, how)`: after that time, at the
   end of the trial, or of the rig, whichever comes first, and once.
4. Its region in a plot begins with its entry and lasts `lasts_ns`, or until the action's end.
5. Faults compose: each passes on what lies behind it (`onward`), the first declared outermost.
6. All chance comes from `hit.rng`, all waiting goes through `hit.sleep`, which ends with the trial.
7. A fault that `watches` also sees the calls that fit and were not drawn: their hits are `idle`. It
   passes them on as they are, and may look.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Outbound, Surface

Onward = Callable[[], Awaitable[Answer]]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Globs = str | Annotated[tuple[str, ...], Field(min_length=1)]
Test = Callable[[str], object]
_GLOB = re.compile(r"[*?[]")


class Settings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Calls(Settings):
    """Which of the calls that fit, counted from 1 in each trial: `{from: 2}`, `{every: 3}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    first: Count = Field(default=1, alias="from")
    to: Count | None = None
    every: Count = 1

    @model_validator(mode="after")
    def _has_some(self) -> Self:
        if self.to is not None and self.to < self.first:
            raise ValueError(f"expected `to` not before `from`, which is {self.first}")
        return self

    def has(self, nth: int) -> bool:
        """True when the `nth` is one of them."""
        inside = nth >= self.first and (self.to is None or nth <= self.to)
        return inside and (nth - self.first) % self.every == 0


class Target(Settings):
    """What a fault strikes; what is left out is not looked at. Globs, or lists of them."""

    at: Surface | Annotated[tuple[Surface, ...], Field(min_length=1)] | None = Field(
        default=None, description="The gateway, or `service`; or a list."
    )
    tenant: Globs | None = Field(default=None, description="Of the trial.")
    agent: Globs | None = Field(default=None, description="The name it acts under.")
    case: Globs | None = Field(default=None, description="Of the trial.")
    scenario: Globs | None = Field(default=None, description="Of the trial.")
    tool: Globs | None = Field(default=None, description="By its name.")
    server: Globs | None = Field(default=None, description="The MCP server of a tool.")
    model: Globs | None = Field(default=None, description="That is asked for.")
    path: Globs | None = Field(default=None, description="Of the request.")
    host: Globs | None = Field(default=None, description="At the egress gateway.")
    service: Globs | None = Field(default=None, description="A shared service, by its name.")
    name: Globs | None = Field(default=None, description="Of the action: `llm.*`, `tool.refund`.")
    nth: Count | Annotated[tuple[Count, ...], Field(min_length=1)] | Calls | None = Field(
        default=None,
        description="Which of the calls that fit, counted from 1 in each trial: a number, a list, "
        "or `{from: 2, to: 9, every: 3}`.",
    )

    def fits(self, call: Outbound) -> bool:
        """True when the call is one that it names, whichever in number."""
        if call.surface not in (self.surfaces or (call.surface,)):
            return False
        return all(test(getattr(call, part)) for part, test in self.tests())

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """The surfaces that it names."""
        return () if self.at is None else (self.at,) if isinstance(self.at, str) else self.at

    @property
    def named(self) -> dict[str, Surface]:
        """The parts that it names and that only calls at one surface have."""
        return {part: at for part, at in ONLY_AT.items() if getattr(self, part) is not None}

    def tests(self) -> list[tuple[str, Test]]:
        """What a call's parts must hold, besides its surface."""
        given = ((part, getattr(self, part)) for part in PARTS)
        return [(part, _test(wanted)) for part, wanted in given if wanted is not None]

    def meant(self, nth: int) -> bool:
        """True when the `nth` call that fits is one of those."""
        wanted = self.nth
        if wanted is None:
            return True
        if isinstance(wanted, Calls):
            return wanted.has(nth)
        return nth == wanted if isinstance(wanted, int) else nth in wanted


# What only calls at one surface have.
ONLY_AT: dict[str, Surface] = {
    "tool": "tool",
    "server": "tool",
    "model": "llm",
    "host": "egress",
    "service": "service",
}
PARTS = (
    *("tenant", "agent", "case", "scenario", "tool", "server"),
    *("model", "path", "host", "service", "name"),
)


def _test(wanted: Globs) -> Test:
    """What is true of a text that one of the globs means."""
    globs = (wanted,) if isinstance(wanted, str) else wanted
    if not any(_GLOB.search(one) for one in globs):
        return frozenset(globs).__contains__
    return re.compile("|".join(map(translate, globs))).match


class When(Settings):
    """Its times: from `after_s` on, for `for_s`, again `every_s`; counted from the beginning of the
    trial, or of the run."""

    after_s: Seconds = Field(default=0.0, description="Seconds until it begins.")
    for_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None, description="How long; default: for good."
    )
    every_s: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None, description="Again after so many seconds."
    )
    since: Literal["trial", "run"] = Field(
        default="trial", description="Whose beginning the times are counted from."
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.every_s is not None and (self.for_s is None or self.for_s > self.every_s):
            raise ValueError("expected `for_s` beside `every_s`, and not longer than it")
        return self

    def holds(self, now_ns: int, began_ns: int) -> bool:
        """True at `now_ns` of the run's clock, in a trial that began at `began_ns`."""
        passed = (now_ns - (began_ns if self.since == "trial" else 0)) / 1e9 - self.after_s
        if passed < 0:
            return False
        if self.every_s is not None:
            passed %= self.every_s
        return self.for_s is None or passed < self.for_s


class Surroundings(Protocol):
    """What a fault may do besides changing an answer."""

    services: Mapping[str, Any]  # the rig's shared services, by name

    async def pause(self, token: str) -> int:
        """SIGSTOP to every process of a trial that has processes of its own; how many."""

    def resume(self, token: str) -> None:
        """SIGCONT to them, soon."""

    async def kill(self, token: str) -> int:
        """SIGKILL to them; how many."""

    def hold(self, call: Outbound, connections: int) -> Callable[[], None] | None:
        """Take connections of the pool that serves the call, as many as are free at the most; what
        gives them back. None when there is no pool with a cap."""

    def renew(self, token: str) -> str:
        """A fresh key of a trial; its earlier ones are known as expired from now on."""

    def expired(self, token: str, key: str) -> bool:
        """True when a key of the trial is not its freshest."""


@dataclass(slots=True)
class Hit:
    """One fault upon one call. title: what the fault is called. nth: the number of the call among
    those that fit, in its trial. memory: what the fault keeps between the calls of a trial, gone
    with it. idle: it may look, and not strike. sleep: raises Cut when the trial ends meanwhile."""

    title: str
    call: Outbound
    nth: int
    rng: random.Random
    around: Surroundings
    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], int]
    memory: dict[str, Any]
    write: Callable[[dict[str, Any]], None]
    later: Callable[[float, Callable[[], None]], None]
    idle: bool = False
    fired: bool = False
    unreserve: Callable[[], None] | None = None  # of `times`, what was kept for this call

    def struck(self, *, lasts_s: float | None = None, **facts: Any) -> None:
        """It takes effect now: written down once, with what it did. Raises RuntimeError where it
        may not."""
        if self.fired:
            return
        if self.idle:
            raise RuntimeError(f"the fault {self.title} struck a call at which it may only look")
        self.fired = True
        lasts = {} if lasts_s is None else {"lasts_ns": round(lasts_s * 1e9)}
        self.write(facts | lasts)

    def spare(self) -> None:
        """It lets this call pass, for good: of its `times`, other calls may have this one."""
        if not self.fired:
            self.idle = True
            back, self.unreserve = self.unreserve, None
            if back is not None:
                back()

    def undo(self, after_s: float, how: Callable[[], None]) -> None:
        """What takes it back: after so many seconds, or at the end of the trial or the rig."""
        self.later(after_s, how)


class Fault(Settings):
    """What all faults have. A member narrows `kind` to its name, says at which `surfaces` it acts,
    adds its parameters, and overrides `strike`."""

    surfaces: ClassVar[tuple[Surface, ...]] = ("llm", "tool", "egress")
    summary: ClassVar[str] = ""  # what it does, in a line, for people
    watches: ClassVar[bool] = False  # it also sees the calls that fit and were not drawn

    kind: str
    name: Name | None = Field(default=None, description="In reports; default: the kind.")
    on: Target = Field(default=Target(), description="What it strikes; default: whatever it can.")
    probability: Share = Field(default=1.0, description="Of each call that fits, by the seed.")
    when: When = Field(default=When(), description="Its times; default: always.")
    times: Count | None = Field(default=None, description="At most so often in a trial.")
    pack: str = Field(default="", description="The pack it came from.", exclude=True, repr=False)

    @property
    def title(self) -> str:
        """What it is called in reports and on the history."""
        return self.name or self.kind

    @model_validator(mode="after")
    def _can_act(self) -> Self:
        named = self.on.named
        wanted = (*self.on.surfaces, *named.values())
        if strange := [one for one in wanted if one not in self.surfaces]:
            raise ValueError(
                f"{self.kind} acts at {', '.join(self.surfaces)}; `on` names {strange[0]}"
            )
        if not self.acts_at:
            parts = " and ".join(f"`{part}` (only at {at})" for part, at in named.items())
            at = f", `at` names {', '.join(self.on.surfaces)}" if self.on.surfaces else ""
            raise ValueError(
                f"no call has all that `on` names: {parts}{at}; write a fault for each"
            )
        return self

    @property
    def acts_at(self) -> tuple[Surface, ...]:
        """The surfaces at which it can strike."""
        named = set(self.on.named.values())
        return tuple(
            one
            for one in self.surfaces
            if one in (self.on.surfaces or self.surfaces) and named <= {one}
        )

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        """Carry the call out with the fault in it. `onward` carries out what lies behind, and may
        be awaited never, once or twice. Raises Cut to break the connection before any answer."""
        raise NotImplementedError
