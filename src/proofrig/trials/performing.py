"""Carries out a scenario: a stage of its own, its phases one after another, and the notes that tell
where it begins and ends.

Rules:
1. A scenario has fresh shared instances: its own rig, provider, hosts and services. A phase whose
   trials are to be `fresh` gives each of them a stage of its own.
2. Trials of a scenario are not tried again after infra failures: what they would meet then is
   another contention. A scenario that was cut off is run again as a whole.
3. Ctrl-C and lost rigs end it as they end any run; it then has no end on the history.
4. A scenario begins only when what is left of the run's allowance is enough for all of it. One that
   is cut all the same has no end either, and those after it do not begin.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_in

from proofrig.agents.gate import Gate
from proofrig.errors import InfraError
from proofrig.faults.fault import Fault
from proofrig.history.journal import Journal
from proofrig.scenarios.scenario import Phase, Scenario
from proofrig.suites import Planned
from proofrig.trials.allowance import Allowance, Why
from proofrig.trials.faulted import written_faults
from proofrig.trials.reusing import ReusedBox
from proofrig.trials.runner import Progress, Runner, Settings
from proofrig.trials.stage import Stage, StageSetting, gates_of, open_stage
from proofrig.trials.stopping import Stopping
from proofrig.trials.trial import Outcome, attempt

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class Performance:
    """Scenarios on their way. `progress` counts over all of them; `failure`, `stopped` and `why`
    (they were cut) say why it ended early. done: the scenarios that came to their end; left: trials
    that were to run, and did not; begun: those that a runner was given."""

    setting: StageSetting
    attempts: dict[str, int]
    on_progress: OnProgress
    progress: Progress
    runner: Runner | None = None
    stopped: bool = False
    failure: InfraError | None = None
    why: Why | None = None
    done: list[str] = field(default_factory=list)
    left: list[Planned] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    faults: tuple[Fault, ...] = ()  # of the scenario that is on its way

    async def perform_all(self, scenarios: Iterable[Scenario], stopping: Stopping) -> None:
        """Carry them out one after another, until one is stopped, fails, or is cut."""
        stopping.act, stopping.cut = partial(self._stop, stopping.act), self.cut
        for scenario in scenarios:
            if self.why is None and self.allowance is not None:
                phases = scenario.phases(self.setting.suite.facts(self.setting.seed))
                self.why = self.allowance.scenario(_at_once(phases))
            if self._over:
                break
            await self.perform(scenario)

    @property
    def allowance(self) -> Allowance | None:
        """What the run may use."""
        return self.setting.allowance

    @property
    def _over(self) -> bool:
        return self.stopped or self.failure is not None or self.why is not None

    def cut(self, why: Why) -> None:
        """Cancel the trials that run, and start nothing new."""
        if not self._over:
            self.why = why
            if self.runner is not None:
                self.runner.cut(why)

    def _stop(self, cancel: Callable[[], object]) -> None:
        """Start nothing new and cancel what runs: trials, or the setting of a stage."""
        self.stopped = True
        if self.runner is not None:
            self.runner.stop()
        else:
            cancel()

    async def perform(self, scenario: Scenario) -> None:
        """Carry out one. Raises UsageError when the suite has not what it takes."""
        suite = self.setting.suite
        suite = suite.model_copy(update={"services": scenario.services(suite.services)})
        self.faults = scenario.all_faults()
        setting = replace(self.setting, suite=suite, faults=self.faults)
        phases = scenario.phases(setting.suite.facts(setting.seed))
        staging = replace(setting, concurrency=max(_at_once(phases), setting.concurrency))
        journal = Journal(setting.run_dir, "scenario", setting.clock)
        try:
            note = partial(_note, journal)
            note("scenario", {"state": "begin"} | describe(scenario, phases, setting))
            async with AsyncExitStack() as closing:
                stage: Stage | None = None
                for number, phase in enumerate(phases):
                    if stage is None and not phase.fresh:
                        stage = await closing.enter_async_context(open_stage(staging))
                    note("phase", {"phase": phase.name, "state": "begin"} | _targets(phase))
                    await self._boxed_phase(phase, stage, gates_of(setting.run_dir) / str(number))
                    note("phase", {"phase": phase.name, "state": "end"})
                    if self._over:
                        return
            note("scenario", {"state": "end", "scenario": scenario.name})
            self.done.append(scenario.name)
        finally:
            journal.close()

    async def _boxed_phase(self, phase: Phase, stage: Stage | None, gate: Path) -> None:
        """A phase whose trials follow one another in one box, or any other."""
        if stage is None or phase.boxes == "fresh" or not stage.boxed:
            return await self._phase(phase, stage, gate)
        folder = stage.scratch / f"reused-{phase.name}"
        box = ReusedBox(stage.boxing, folder, secrets.token_urlsafe(16))
        try:
            await self._phase(phase, replace(stage, reused=box), gate)
        finally:
            await box.close()

    async def _phase(self, phase: Phase, stage: Stage | None, gate: Path) -> None:
        starts = [Planned.of(replace_in(start, phase=phase.name)) for start in phase.starts]
        workers = phase.workers or len(starts)
        behind = None if phase.workers else Gate(gate, len(starts))
        settings = Settings(
            concurrency=workers,
            retries=0,
            first_attempt=self._first(starts),
            allowance=self.allowance,
            one_by_one=False,
        )
        runner = self.runner = Runner(
            self._attempting(phase, stage, behind), settings, self.on_progress, self.progress
        )
        try:
            if not self._over:
                self.begun.update(start.trial for start in starts)
                await runner.run(starts)
        finally:
            if behind is not None:
                behind.release()  # a run that was stopped may have left it closed
        self.runner = None
        self.failure = self.failure or runner.failure
        self.why = self.why or runner.why
        self.left += runner.left

    def _first(self, starts: list[Planned]) -> dict[str, int]:
        began = self.attempts
        return {one.trial: began[one.trial] + 1 for one in starts if one.trial in began}

    def _attempting(
        self, phase: Phase, stage: Stage | None, gate: Gate | None
    ) -> Callable[[Planned, int, bool], Any]:
        if phase.fresh:
            return self._fresh
        assert stage is not None
        if gate is not None:
            return partial(_gated, stage, gate)

        async def thinking(planned: Planned, number: int, last: bool) -> Outcome:
            if planned.start is not None and planned.start.at_ns:
                await asyncio.sleep(planned.start.at_ns / 1e9)
            return await attempt(stage, planned, number, last)

        return thinking

    async def _fresh(self, planned: Planned, number: int, last: bool) -> Outcome:
        async with open_stage(replace(self.setting, faults=self.faults)) as stage:
            return await attempt(stage, planned, number, last)


def _at_once(phases: list[Phase]) -> int:
    """The most trials that run at a time."""
    return max(phase.workers or len(phase.starts) for phase in phases)


async def _gated(stage: Stage, gate: Gate, planned: Planned, number: int, last: bool) -> Outcome:
    try:
        return await attempt(stage, planned, number, last, gate=gate)
    except Exception:
        gate.release()  # this ends the run: the others need not wait for what never parks
        raise


def describe(scenario: Scenario, phases: list[Phase], setting: StageSetting) -> dict[str, Any]:
    """The attributes of the note that a scenario begins with."""
    suite = setting.suite
    return {
        "scenario": scenario.name,
        "agents": scenario.agents,
        "trials": sum(len(phase.starts) for phase in phases),
        "tenants": suite.tenants,
        "params": scenario.params(),
        "needs": list(scenario.needs),
        "topology": suite.declared_topology(),
        "faults": written_faults(setting.faults),
        "seed": setting.seed,
    }


def _targets(phase: Phase) -> dict[str, Any]:
    """The spreads that a phase asks for, and whether its trials share nothing."""
    asked = {"target_ns": phase.spread_ms, "arrival_target_ns": phase.arrival_ms}
    spreads = {name: round(ms * 1e6) for name, ms in asked.items() if ms}
    return spreads | ({"fresh": True} if phase.fresh else {})


def _note(journal: Journal, name: str, attrs: dict[str, Any]) -> None:
    journal.write("note", name, attrs=attrs)
    journal.flush()
