"""A run of its own in a folder: a scenario, its trials, and the product's real rig in this process.

    lab = Lab(folder, tenants={"acme": 1})
    with lab:                                   the scenario begins and ends
        lab.threads([lambda: add(memory)] * 4)      each a trial in a thread
        async with lab.rig(services=[...]):         gateways, services, Redis proxies
            await lab.tasks([agent(lab), ...])      each a trial in a task
        with lab.program(CODE, trial) as child:     a trial in a process of its own

Rules:
1. All that is shared is observed by the product's own observers, services and gateways. Written
   here are only the notes that a runner writes: scenario, trials, kills, canaries.
2. What a specimen starts it ends, by its process id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from proofrig.agents import identity
from proofrig.agents.hosting import HOST
from proofrig.authority.prices import Price
from proofrig.checkers.checker import Finding
from proofrig.faults.fault import Fault
from proofrig.gateways.gateway import Binding, RunClock
from proofrig.gateways.redis import RedisProxy
from proofrig.history.format import folder_of
from proofrig.history.journal import Journal
from proofrig.observers.recorder import Recorder
from proofrig.providers.provider import Endpoint
from proofrig.rig.faulting import Strikes
from proofrig.rig.process import opened
from proofrig.rig.protocol import Plan
from watched_program import PRELUDE

IDENTITY = "_proofrig_identity"
FREE = Price("fallback", 1, 1, 1, 1, source="specimens", as_of="2026-01-01")


class Ran(NamedTuple):
    """A run that has ended. happened: the trouble was there, as the world shows it and not the
    history. true: whether a finding's witness tells what really happened."""

    run_dir: Path
    happened: bool
    true: Callable[[Finding], bool] = lambda finding: True


class Specimen(NamedTuple):
    """name: the class of trouble. expected: the kind of finding, None for a correct one."""

    name: str
    variant: str
    expected: str | None
    checker: str
    run: Callable[[Path, int], Ran]


@dataclass
class Lab:
    """One scenario. `seed` draws all chance; `port` is the rig's, once there is one."""

    folder: Path
    seed: int = 0
    scenario: str = "burst"
    tenants: dict[str, int] = field(default_factory=lambda: {"acme": 1})
    topology: dict[str, dict[str, Any]] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run_dir = self.folder / "run"
        self.origin_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._count = 0
        self._desk: Any = None
        self.flush: Callable[[], None] = lambda: None  # what the rig has written
        self.port = 0
        self.redis: dict[str, int] = {}
        self.tokens: dict[str, str] = {}
        self.faults: tuple[Fault, ...] = ()

    def __enter__(self) -> Lab:
        self._journal = Journal(self.run_dir, "scenario", RunClock(self.origin_ns))
        self.recorder = Recorder(
            {
                "PROOFRIG_HISTORY": str(folder_of(self.run_dir)),
                "PROOFRIG_ORIGIN_NS": str(self.origin_ns),
            }
        )
        self._before = sys.modules.get(IDENTITY)
        sys.modules[IDENTITY] = identity
        self._scenario("begin")
        return self

    def __exit__(self, *raised: Any) -> None:
        self.recorder.close()
        if self.recorder._fd >= 0:  # a process has one recorder until its end; here there are many
            os.close(self.recorder._fd)
        self.recorder.on, self.recorder._fd = False, -1
        self._scenario("end")
        self._journal.close()
        del sys.modules[IDENTITY]
        if self._before is not None:
            sys.modules[IDENTITY] = self._before

    def then(self, scenario: str) -> None:
        """End the scenario and begin another, on the same instances."""
        self._scenario("end")
        self.scenario = scenario
        self._scenario("begin")

    def _scenario(self, state: str) -> None:
        about = {"tenants": self.tenants, "topology": self.topology, "params": self.params}
        self.note("scenario", {"state": state, "scenario": self.scenario, **about})

    def note(self, name: str, attrs: dict[str, Any], trial: str = "", tenant: str = "") -> None:
        """Write a note, as the runner does."""
        self._write("note", name, trial, tenant, attrs)

    def _write(self, kind: Any, name: str, trial: str, tenant: str, attrs: dict[str, Any]) -> None:
        with self._lock:
            self._journal.write(kind, name, trial=trial, tenant=tenant, attrs=attrs)
            self._journal.flush()

    # Trials

    @contextlib.contextmanager
    def trial(self, tenant: str = "acme", case: str = "case", **attrs: Any) -> Iterator[str]:
        """A trial from begin to end; what is done inside is its work."""
        with self._lock:
            self._count += 1
            trial = f"{case}@{self.scenario}:{self._count}"
        token = self.tokens[trial] = f"token-{self._count:06d}-0123456789"
        if self._desk is not None:
            scope = f"{tenant}/flow/agent/{trial}"
            self._desk.begin(Binding(token, trial, tenant, scope))
        self._write("trial", "begin", trial, tenant, {"case": case, "role": "subject"} | attrs)
        began, before = time.monotonic_ns(), identity.IDENTITY.set((token, trial))
        passed = False
        try:
            yield trial
            passed = True
        finally:
            identity.IDENTITY.reset(before)
            if self._desk is not None:
                self._desk.end(token)
            took = time.monotonic_ns() - began
            failure = {} if passed else {"failure": "agent_error"}
            self._write(
                "trial", "end", trial, tenant, {"passed": passed, "duration_ns": took} | failure
            )

    def threads(self, agents: Sequence[Callable[[], object]]) -> None:
        """Run each as a trial in a thread of its own, all released at once."""
        gate, failed = threading.Barrier(len(agents)), []

        def run(agent: Callable[[], object]) -> None:
            try:
                with self.trial():
                    gate.wait()
                    agent()
            except BaseException as error:
                failed.append(error)

        running = [threading.Thread(target=run, args=(agent,)) for agent in agents]
        for each in running:
            each.start()
        for each in running:
            each.join()
        if failed:
            raise failed[0]

    async def tasks(self, agents: Sequence[Coroutine[Any, Any, object]], *tenants: str) -> None:
        """Run each as a trial in a task of its own; tenants take turns."""
        names = tenants or ("acme",)

        async def run(agent: Coroutine[Any, Any, object], tenant: str) -> None:
            with self.trial(tenant):
                await asyncio.sleep(0)
                await agent

        async with asyncio.TaskGroup() as group:
            for number, agent in enumerate(agents):
                group.create_task(run(agent, names[number % len(names)]))

    @contextlib.contextmanager
    def program(self, code: str, trial: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """Python code in a process of its own, as the host runs an agent. It is killed at the end,
        if it has not ended."""
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "HOST": str(HOST),
            "WORK": str(self.folder),
            "PROOFRIG_HISTORY": str(folder_of(self.run_dir)),
            "PROOFRIG_ORIGIN_NS": str(self.origin_ns),
            "PROOFRIG_TRIAL": trial,
            "PROOFRIG_TOKEN": self.tokens[trial],
            "PROOFRIG_SERVICES_URL": self.services_url(trial),
            **{
                f"PROOFRIG_REDIS_{name.upper()}_URL": self.redis_url(trial, name)
                for name in self.redis
            },
            **environ,
        }
        child = subprocess.Popen(
            [sys.executable, "-c", f"{PRELUDE}\n{code}\nobserving.close()\n"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()

    def killed(self, trial: str, point: str, tenant: str = "acme") -> None:
        """Say that a trial was killed."""
        self.note("kill", {"point": point, "at": ""}, trial, tenant)

    # The rig

    @contextlib.asynccontextmanager
    async def rig(
        self,
        *,
        services: Sequence[dict[str, Any]] = (),
        tools: Sequence[dict[str, Any]] = (),
        model: str = "",
        redis: dict[str, int] | None = None,
    ) -> AsyncIterator[Lab]:
        """The rig of the trials that begin inside. model: the base URL of a chat completions API.
        redis: name -> port of a server, which is reached through a proxy."""
        plan = Plan(
            run_dir=str(self.run_dir),
            origin_ns=self.origin_ns,
            suite_dir=str(Path(__file__).parent),
            endpoints={"chat_completions": Endpoint(model, key="none")} if model else {},
            services=list(services),
            tools=list(tools),
            faults=[fault.model_dump(mode="json", by_alias=True) for fault in self.faults],
            seed=self.seed,
            fallback_price=FREE,
        )
        async with contextlib.AsyncExitStack() as closing:
            self._desk, context = await closing.enter_async_context(opened(plan, Strikes(print)))
            self.port = self._desk.ready.port
            self.flush = context.journal.flush
            for name, port in (redis or {}).items():
                proxy = RedisProxy(context, f"redis://127.0.0.1:{port}/0", f"redis:{name}")
                closing.push_async_callback(proxy.close)
                self.redis[name] = await proxy.start()
            try:
                yield self
            finally:
                self._desk = None

    def root(self, trial: str) -> str:
        """The URL of the gateways that names a trial."""
        return f"http://127.0.0.1:{self.port}/t/{self.tokens[trial]}"

    def services_url(self, trial: str) -> str:
        return f"{self.root(trial)}/services"

    def redis_url(self, trial: str, name: str = "memory") -> str:
        return f"redis://:{self.tokens[trial]}@127.0.0.1:{self.redis[name]}/0"


def now() -> str:
    """The trial that is at work."""
    found = identity.IDENTITY.get()
    assert found is not None, "no trial is at work here"
    return found[1]


def told(child: subprocess.Popen[str]) -> str:
    """The next line of what a program says."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def say(child: subprocess.Popen[str], line: str) -> None:
    """Give a program a line."""
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def files(lab: Lab) -> str:
    """PROOFRIG_FILES for the folder `shared` of a lab, as the service `notes`."""
    return json.dumps({"notes": str(lab.folder / "shared" / "**")})
