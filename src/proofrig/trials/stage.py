"""The stage: what all trials of a run share, set up and taken down as one.

    provider (its own process) <- rig (gateways, authority, journal) <- agents (hosts in sandboxes)

Rules:
1. What is wrong with the suite shows before the first trial: a missing module, a bad script, a
   tool that cannot be loaded.
2. Whatever happens, all processes that were started are ended, in the reverse order.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from proofrig.agents import make_agent
from proofrig.agents.agent import Agent
from proofrig.agents.environment import EnvironmentSettings, trial_environment
from proofrig.agents.null import NullAgent
from proofrig.agents.reference import ReferenceAgent
from proofrig.canaries.canary import Canary
from proofrig.faults._kill_points import IN_THE_AGENT, KillPoint
from proofrig.faults.fault import Fault
from proofrig.gateways.egress.settings import VENDORS
from proofrig.gateways.gateway import RunClock
from proofrig.gateways.tap_command import write_shims
from proofrig.history.format import folder_of
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader, digest_of
from proofrig.providers.provider import Endpoint, Provider
from proofrig.providers.recorded import RecordedSettings
from proofrig.rig.link import Rig
from proofrig.sandboxes.keeping import allow_many_files, sweep
from proofrig.sandboxes.sandbox import Box, Keep, Shown
from proofrig.suites import Case, Planned, Suite
from proofrig.trials.allowance import Allowance
from proofrig.trials.baseline import role_of
from proofrig.trials.boxing import Boxing, Left, leave, make_boxing, make_observed, take_observed
from proofrig.trials.faulted import kill_of, scenario_faults, written_faults
from proofrig.trials.following import Following
from proofrig.trials.isolation import image_of, level_of
from proofrig.trials.planting import Planting, service_settings
from proofrig.trials.reusing import ReusedBox
from proofrig.trials.rigging import (
    host_environment,
    mcp_servers,
    mcp_settings,
    plan_of,
    proxied,
    redirected,
    rig_ports,
    shares_a_host,
    tap_place,
)
from proofrig.trials.taped import provider_of
from proofrig.wire.turn import Api

PAYLOAD_CAP = 1 << 18
SECRETIVE = ("env", "headers")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSetting:
    """What a stage is set up for. faults: the scenario's own, after the suite's. lab: a scenario,
    whose contention is observed: the rig writes down arrivals and its lag, agents what they do to
    what they share. allowance: what the run may use, where that is limited."""

    suite: Suite
    run_dir: Path
    clock: RunClock
    concurrency: int
    seed: int
    faults: tuple[Fault, ...] = ()
    record: bool = False
    replay: RecordedSettings | None = None
    lab: bool = False
    allowance: Allowance | None = None

    @property
    def all_faults(self) -> tuple[Fault, ...]:
        """What goes wrong on it, each at its number."""
        return (*self.suite.all_faults(), *self.faults)

    @property
    def observed(self) -> str:
        """The folder that observers in agents write to; "" when nothing is observed."""
        return str(folder_of(self.run_dir).absolute()) if self.lab else ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that is set up. `scratch` is where trials without a world run."""

    run_dir: Path
    suite: Suite
    cases: dict[str, Case]
    rig: Rig
    agents: dict[str, Agent]
    journal: Journal
    following: Following
    payloads: PayloadReader
    scratch: Path
    provider: Provider | None
    planting: Planting
    clock: RunClock
    boxing: Boxing
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    observed: str = ""  # where observers inside agents write; nothing is observed when empty
    allowance: Allowance | None = None
    reused: ReusedBox | None = None  # the box of all trials, instead of one for each

    def kill_of(self, planned: Planned) -> KillPoint | None:
        """Where in a write the trial is killed."""
        scope = self.scope(planned, planned.trial)
        return kill_of(self.faults, self.seed, planned, scope)

    def agent_of(self, planned: Planned) -> Agent:
        """Who runs the trial. One that is to be killed is alone in its process."""
        role = role_of(planned)
        if role in ("null", "reference"):
            return self.agents[role]
        return self.agents["victim" if self.kill_of(planned) is not None else "subject"]

    def environment(self, token: str, planned: Planned, world: str, trial: str) -> dict[str, str]:
        """The variables of one trial's agent. In a process of its own, an agent that starts a
        stdio server by its bare name gets it behind the tap: a shim stands first on its PATH."""
        shared = shares_a_host(self.suite) and self.agent_of(planned) is self.agents["subject"]
        place = tap_place(self.suite, token, self.rig.port, world, self.boxing)
        user = dict(getattr(self.suite.agent, "env", {}))
        named = [server for server in mcp_settings(self.suite) if server.bare_name]
        if named and not shared:
            shims = self.folder(trial) / "bin"
            write_shims(named, place, shims)
            user["PATH"] = f"{shims}{os.pathsep}{user.get('PATH', place.path)}"
        kill = self.kill_of(planned)
        if kill is not None and kill.point in IN_THE_AGENT:
            user["PROOFRIG_KILL"] = msgspec.json.encode(kill).decode()
        settings = EnvironmentSettings(
            port=self.rig.port,
            token=token,
            run=self.run_dir.name,
            trial="" if shared else trial,
            history=self.observed_in(trial),
            origin_ns=self.clock.origin_ns,
            files=self.suite.shared_files(),
            redis=self.rig.proxies,
            seed=planned.seed,
            parent=self.boxing.inherited,
            shared=shared,
            mcp=mcp_servers(self.suite, place),
            user=user,
            **proxied(self.suite, self.rig, "" if shared else token),
        )
        return trial_environment(settings)

    @property
    def own_folder(self) -> str:
        """The name of the folder that a trial without a world works in, in the trial's own."""
        if self.reused is not None:
            return "world"
        return "work" if self.boxed else ""

    @property
    def boxed(self) -> bool:
        """True when trials have boxes that do not see the run's folder."""
        return self.boxing.level != "process"

    def observed_in(self, trial: str) -> str:
        """The folder that a trial's observers write to: its own, where it has a box."""
        if self.observed and self.reused is not None:
            return self.reused.observed
        if self.observed and self.boxed:
            return str(self.folder(trial) / "observed")
        return self.observed

    async def box(self, planned: Planned, token: str, world: str, trial: str) -> Box | None:
        """The trial's box; None for a trial that has no process of its own. Raises SandboxError."""
        if role_of(planned) in ("null", "reference") or shares_a_host(self.suite):
            return None
        if self.reused is not None:
            folder = self.folder(trial)
            return await self.reused.enter(folder / "world", folder / "bin")
        own = [self.folder(trial) / "bin"]
        observed = self.observed_in(trial)
        if observed and self.boxed:
            make_observed(observed)
        elif observed:
            os.makedirs(observed, exist_ok=True)
        shown = [Shown(str(path)) for path in own if self.boxed and path.is_dir()]
        if observed and self.boxed:
            shown.append(Shown(observed, writable=True))
        return await self.boxing.start(trial, token, world, tuple(shown))

    def world_in_box(self, world: str) -> str:
        """Where the trial's box has its world."""
        return self.reused.world if self.reused is not None and world else world

    async def leave(self, box: Box, world: str) -> Left:
        """End the trial's box, or its part in a reused one."""
        if self.reused is not None:
            return await self.reused.leave(Path(world))
        return await leave(box, self.kept())

    def kept(self) -> Keep | None:
        """Which copies of changed files are kept."""
        if not self.suite.sandbox.keep_changes:
            return None
        return Keep(store=self.journal.payload, file_bytes=PAYLOAD_CAP)

    def folder(self, trial: str) -> Path:
        """Where a trial's own files lie."""
        return self.scratch / one_name(trial)

    def relative(self, path: Path) -> str:
        """A path as the history keeps it."""
        return str(path.relative_to(self.run_dir))

    def empty_workdir(self, trial: str) -> str:
        """The current directory of a trial without a world: its own where it has a process of its
        own, since agents leave files behind."""
        if shares_a_host(self.suite):
            return str(self.scratch)
        folder = self.folder(trial) / self.own_folder
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def tidy(self, trial: str) -> None:
        """Take what was observed in the trial's box; remove its folders when nothing was left in
        them."""
        if self.boxed and self.observed:
            observed = Path(self.observed_in(trial))
            if observed.is_dir():
                take_observed(observed, Path(self.observed), trial)
                if self.reused is None:
                    shutil.rmtree(observed, ignore_errors=True)
        for folder in (self.folder(trial) / self.own_folder, self.folder(trial)):
            with suppress(OSError):
                folder.rmdir()

    def scope(self, planned: Planned, trial: str) -> str:
        """The authority's path of an attempt: tenant/workflow/agent/run."""
        agent: str = role_of(planned)
        if agent == "subject" and planned.case in self.cases:
            agent = self.cases[planned.case].acts_as or agent
        return f"{planned.tenant}/{self.suite.name}/{agent}/{one_name(trial)}"


def gates_of(run_dir: Path) -> Path:
    """The folder of the named pipes that agents park on, which is made."""
    folder = run_dir / "gates"
    folder.mkdir(exist_ok=True)
    return folder


def one_name(trial: str) -> str:
    """A trial's id as one part of a path. No case id holds a plus sign, so none collide."""
    return trial.replace("/", "+")


def what_of(suite: Suite) -> dict[str, Any]:
    """What a run of this suite depends on, for its manifest. Two runs that should differ only in
    the model differ nowhere but in `model` and `models`."""
    written, given = suite.whole_policy(), suite.constrained()
    return {
        "suite_digest": suite.digest(),
        "cases": {case.id: case.digest()[:16] for case in suite.cases},
        "agent": _shown(suite.agent.model_dump(mode="json")),
        "model": suite.model.model_dump(mode="json") if suite.model else None,
        "tools": [_shown(tool.model_dump(mode="json", by_alias=True)) for tool in suite.tools],
        "services": [service.topology() | {"name": service.name} for service in suite.services],
        "tenants": suite.tenants,
        "budgets": suite.budgets.model_dump(mode="json", exclude_none=True),
        "policy": written and written.model_dump(mode="json", by_alias=True, exclude_none=True),
        "authority": suite.authority.model_dump(mode="json", exclude_none=True),
        "faults": written_faults(suite.all_faults()),
        "scenario_faults": scenario_faults(suite),
        "limits": suite.limits_in_force(),
        "constraints": given and given.model_dump(mode="json", exclude_none=True),
        "retries": suite.retries.model_dump(mode="json"),
        "isolation": level_of(suite),
        "image": image_of(suite, level_of(suite)).digest,
        "egress": suite.egress.model_dump(mode="json"),
        "redirection": "interception" if any(redirected(suite, v) for v in VENDORS) else "base-url",
    }


def _note_canary(journal: Journal, canary: Canary) -> None:
    journal.write("note", "canary", tenant=canary.tenant, attrs=canary.attrs)
    journal.flush()


def _shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a manifest may hold them: variables and headers often carry secrets, so only a
    digest of each value is kept, which still tells whether two runs had the same."""
    return {
        name: {key: f"blake2:{digest_of(str(text).encode())[:12]}" for key, text in value.items()}
        if name in SECRETIVE and isinstance(value, dict)
        else value
        for name, value in settings.items()
    }


@asynccontextmanager
async def open_stage(setting: StageSetting) -> AsyncIterator[Stage]:
    """Set everything up for trials of a suite. Raises UsageError for what the user got wrong,
    ProviderError or SandboxError for what cannot be started."""
    suite, run_dir, clock = setting.suite, setting.run_dir, setting.clock
    sweep(run_dir.name)  # what an earlier process of this run left behind
    allow_many_files()  # before the rig and the provider are started
    async with AsyncExitStack() as closing:
        endpoints: dict[Api, Endpoint] = {}
        provider = provider_of(setting)
        if provider is not None:
            closing.push_async_callback(provider.close)
            endpoints = await provider.start()
        whole = max(PAYLOAD_CAP, suite.limits.answer_bytes)  # a cut answer is judged otherwise
        journal = Journal(run_dir, "runner", clock, payload_cap=whole)
        closing.callback(journal.close)
        planting = Planting(suite, setting.seed, partial(_note_canary, journal))
        services = [service_settings(service, planting, suite) for service in suite.services]
        rig = Rig(plan_of(setting, endpoints, services))
        closing.push_async_callback(rig.close)
        await rig.start()
        boxing = await make_boxing(suite, rig_ports(rig), (rig.bundle, str(gates_of(run_dir))))
        closing.push_async_callback(boxing.sandbox.close)
        host = host_environment(setting, rig, boxing)
        alone = suite.agent
        if getattr(alone, "mode", "") == "shared":
            alone = alone.model_copy(update={"mode": "isolated"})
        agents: dict[str, Agent] = {
            "subject": make_agent(suite.agent, suite.dir, boxing.boxes, setting.concurrency, host),
            "victim": make_agent(alone, suite.dir, boxing.boxes, setting.concurrency, host),
            "null": NullAgent(),
            "reference": ReferenceAgent(),
        }
        for role, agent in agents.items():
            closing.push_async_callback(agent.close)
            if role != "victim":  # the same agent as the subject, which shows whether it is there
                await agent.start()
        scratch = run_dir / "trials"
        scratch.mkdir(exist_ok=True)
        yield Stage(
            run_dir=run_dir,
            suite=suite,
            cases={case.id: case for case in suite.cases},
            rig=rig,
            agents=agents,
            journal=journal,
            following=Following(run_dir, rig.segment),
            payloads=PayloadReader(run_dir),
            scratch=scratch,
            provider=provider,
            planting=planting,
            clock=clock,
            boxing=boxing,
            seed=setting.seed,
            faults=setting.all_faults,
            observed=setting.observed,
            allowance=setting.allowance,
        )
