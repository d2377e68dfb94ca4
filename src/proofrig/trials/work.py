"""The work of a run: its plan or its scenarios, what of it is missing, and doing that.

Rules:
1. A plan's trials are independent: those that are missing are run, each for itself.
2. A scenario's trials met each other: one that was cut off is missing whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proofrig.gateways.gateway import RunClock
from proofrig.providers.recorded import RecordedSettings
from proofrig.scenarios import chosen_scenarios
from proofrig.scenarios.scenario import Scenario
from proofrig.suites import Planned, Suite
from proofrig.trials.baseline import baselines
from proofrig.trials.manifest import Manifest
from proofrig.trials.performing import Performance
from proofrig.trials.planting import Planting, service_settings
from proofrig.trials.rundir import Finished
from proofrig.trials.runner import Progress, Runner, Settings
from proofrig.trials.stage import StageSetting, open_stage
from proofrig.trials.stopping import Stopping, Worker
from proofrig.trials.trial import attempt

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What a run of `suite` below `run_dir` has to do, as its manifest says."""

    suite: Suite
    run_dir: Path
    manifest: Manifest

    def scenarios(self) -> list[Scenario]:
        """The run's scenarios with their parameters; none for a plain plan."""
        manifest, given = self.manifest, self.suite.scenarios
        return chosen_scenarios(given, manifest.scenarios, agents=manifest.agents, alone=False)

    def check(self) -> None:
        """Raises UsageError for a placeholder that cannot be read, and for what a scenario asks of
        the suite in vain."""
        planting = Planting(self.suite, self.manifest.seed)
        tenant = next(iter(self.suite.tenants))
        for case in self.suite.cases:
            planting.case(case, tenant)
        for service in self.suite.services:
            service_settings(service, planting, self.suite)
        for scenario in self.scenarios():
            scenario.phases(self.chosen().facts(self.manifest.seed))

    def chosen(self) -> Suite:
        """The suite with the cases that were selected."""
        only = self.manifest.only
        return self.suite.select(cases=only) if only else self.suite

    def missing(self, before: Finished) -> list[Planned]:
        """What has not come to its end. Baselines come first: a case that they show to be broken
        shows at once."""
        manifest, chosen = self.manifest, self.chosen()
        if manifest.scenarios:
            facts = chosen.facts(manifest.seed)
            return [
                Planned.of(start)
                for scenario in self.scenarios()
                if scenario.name not in before.scenarios
                for phase in scenario.phases(facts)
                for start in phase.starts
            ]
        plan = list(baselines(chosen)) if manifest.baselines else []
        plan += chosen.plan(manifest.repeats, manifest.seed)
        return [planned for planned in plan if planned.trial not in before.done]

    async def do(
        self,
        missing: list[Planned],
        before: Finished,
        on_progress: OnProgress,
        stopping: Stopping,
    ) -> Worker:
        """Do what is missing, as far as `stopping` allows."""
        setting = StageSetting(
            suite=self.chosen(),
            run_dir=self.run_dir,
            clock=clock_of(self.manifest),
            concurrency=self.manifest.concurrency,
            seed=self.manifest.seed,
            lab=bool(self.manifest.scenarios),
            record=self.manifest.record,
            replay=replayed_by(self.manifest),
        )
        if setting.lab:
            progress = Progress(total=len(missing))
            performance = Performance(setting, before.attempts, on_progress, progress)
            left = [one for one in self.scenarios() if one.name not in before.scenarios]
            await performance.perform_all(left, stopping)
            return performance
        settings = Settings(
            concurrency=setting.concurrency,
            retries=self.suite.retries.infra,
            retry_budget=max(10, len(missing) // 5),
            first_attempt={trial: began + 1 for trial, began in before.attempts.items()},
        )
        async with open_stage(setting) as stage:
            runner = Runner(partial(attempt, stage), settings, on_progress)
            stopping.act = runner.stop
            await runner.run(missing)
            stopping.close()
        return runner


def replayed_by(manifest: Manifest) -> RecordedSettings | None:
    """What the run replays instead of the suite's own model; None: nothing."""
    return RecordedSettings.model_validate(manifest.replay) if manifest.replay else None


def clock_of(manifest: Manifest) -> RunClock:
    """The run's clock in this process, also when another process began the run."""
    return RunClock(time.monotonic_ns() - (time.time_ns() - manifest.started_ns))
