"""The contract of a gateway, and what all gateways share.

A gateway stands between an agent and a provider or tool: it asks the authority, passes on, and
writes down. Gateways run in the rig, one asyncio process, the single place where contention is
arbitrated.

Rules:
1. Nothing starts before its reservation is journalled; every reserve meets its commit or release.
2. Bytes pass through untouched; what must be changed is spliced, and said on the history.
3. Traffic that carries no known identity is recorded as such and refused or passed as the run's
   settings say; never dropped silently, never guessed.
4. A gateway's own trouble is answered in the form the agent's protocol understands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from proofrig.agents.environment import trace_id
from proofrig.faults._kill_points import KillPoint
from proofrig.gateways.admission import Admission

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

    from proofrig.authority.authority import Authority
    from proofrig.faults.injector import Injector
    from proofrig.gateways.asked import AskedCalls
    from proofrig.gateways.leg import Tape
    from proofrig.history.journal import Journal

CHILDREN = 1_000

Channel = Literal["path", "baggage", "trace", "key", "none"]


class Binding(msgspec.Struct, frozen=True):
    """A live trial as gateways know it. `token` is its secret; `scope` its authority path
    tenant/workflow/agent/run; `world` its directory or "". `state` is what its tools keep, the one
    part that changes; `keep_state` says that its end is written down. `kill`: where
    it is killed in a write. `gated`: its first request is written down as its arrival. `case`,
    `scenario`: what it belongs to; `faulted`: the suite's faults may strike it; `began_ns`: when it
    began."""

    token: str
    trial: str
    tenant: str
    scope: str
    world: str = ""
    seed: int = 0
    state: dict[str, Any] = {}
    keep_state: bool = False
    kill: KillPoint | None = None
    gated: bool = False
    case: str = ""
    scenario: str = ""
    faulted: bool = True
    began_ns: int = 0


class Bindings:
    """The live trials by token. `ended` keeps recent tokens so that late traffic is told apart
    from traffic that never belonged to a trial. `on_end` holds what is called with the binding of
    each trial that ends, so that gateways free what they keep for it."""

    def __init__(self) -> None:
        self._live: dict[str, Binding] = {}
        self._ended: dict[str, Binding] = {}
        self._traces: dict[str, str] = {}  # trace id -> token
        self._children: dict[str, set[str]] = {}  # token -> the child scopes that it has named
        self._renewed: dict[str, list[str]] = {}  # token -> the keys that it got in its place
        self._key_of: dict[str, str] = {}  # such a key -> token
        self.on_end: list[Callable[[Binding], None]] = []

    def add(self, binding: Binding) -> None:
        self._live[binding.token] = binding
        self._traces[trace_id(binding.token)] = binding.token

    def end(self, token: str) -> Binding | None:
        binding = self._live.pop(token, None)
        self._children.pop(token, None)
        if binding is not None:
            self._ended[token] = msgspec.structs.replace(binding, state={})
            if len(self._ended) > 10_000:
                oldest = next(iter(self._ended))
                del self._ended[oldest], self._traces[trace_id(oldest)]
                for key in self._renewed.pop(oldest, ()):
                    del self._key_of[key]
            for listener in self.on_end:
                listener(binding)
        return binding

    def in_child(self, binding: Binding, child: str) -> Binding:
        """The binding, in a child scope of its run. Each scope costs memory for as long as the rig
        runs, so one beyond the first `CHILDREN` of a run is booked on the run itself."""
        known = self._children.setdefault(binding.token, set())
        if child not in known:
            if len(known) >= CHILDREN:
                return binding
            known.add(child)
        return msgspec.structs.replace(binding, scope=f"{binding.scope}/{child}")

    def live(self, token: str) -> Binding | None:
        """The live trial that this token, or a key that was given in its place, belongs to."""
        return self._live.get(token) or self._live.get(self._key_of.get(token, ""))

    def ended(self, token: str) -> Binding | None:
        return self._ended.get(token) or self._ended.get(self._key_of.get(token, ""))

    def renew(self, token: str) -> str:
        """A fresh key of a live trial; the token and the keys before it have expired. They still
        tell whose traffic it is."""
        keys = self._renewed.setdefault(token, [])
        keys.append(f"{token}-{len(keys) + 1}")
        self._key_of[keys[-1]] = token
        return keys[-1]

    def expired(self, token: str, key: str) -> bool:
        """True when a key of the trial has been renewed since."""
        keys = self._renewed.get(token)
        return bool(keys) and keys is not None and key != keys[-1]

    def of_trace(self, trace: str) -> str:
        """The token whose trace id this is, or empty."""
        return self._traces.get(trace, "")

    def __len__(self) -> int:
        return len(self._live)


class Clock(Protocol):
    """Nanoseconds since the run began, from the clock that all writers share."""

    def __call__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RunClock:
    """The run's clock: monotonic nanoseconds from `origin_ns` (a `time.monotonic_ns` value)."""

    origin_ns: int

    def __call__(self) -> int:
        return time.monotonic_ns() - self.origin_ns


@dataclass(slots=True)
class Context:
    """What every gateway of a rig shares. tools: the names of all tools that its gateways serve, as
    far as they are known. faults, tape: what stands in the way of calls that leave (see `leg`)."""

    journal: Journal
    authority: Authority
    bindings: Bindings
    asked: AskedCalls
    client: aiohttp.ClientSession
    clock: Clock
    tools: set[str] = field(default_factory=set)
    faults: Injector | None = None
    tape: Tape | None = None
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(self)


class Gateway(Protocol):
    """One way out of an agent."""

    def routes(self) -> list[web.RouteDef]:
        """The routes it serves, each both bare and below `/t/{token}`."""

    async def close(self) -> None:
        """Give back what it holds; open calls are settled as unknown."""
