"""The work of a run: its plan or its scenarios, what of it is missing, and doing that.

Rules:
1. A plan's trials are independent: those that are missing are run, each for itself.
2. A scenario's trials met each other: one that was cut off is missing whole.
3. With adaptive repeats the plan is run up to each look, on one stage, and no further than the look
   at which its question is settled.
4. What the run's allowance does not cover is cut, and said so; it is not missing any more.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import UsageError
from proofrig.gateways.gateway import RunClock
from proofrig.history.journal import Journal
from proofrig.providers.recorded import RecordedSettings
from proofrig.scenarios import chosen_scenarios
from proofrig.scenarios.scenario import Scenario
from proofrig.suites import Planned, Suite
from proofrig.suites.authority import SUITE_SCOPE
from proofrig.trials.allowance import NOTE as ALLOWANCE
from proofrig.trials.allowance import Allowance, Limits, Why
from proofrig.trials.baseline import baselines
from proofrig.trials.curtailed import CUT, SETTLED, Cut, Settled
from proofrig.trials.manifest import Manifest
from proofrig.trials.performing import Performance
from proofrig.trials.planting import Planting, service_settings
from proofrig.trials.rundir import Finished
from proofrig.trials.runner import Progress, Runner, Settings
from proofrig.trials.stage import StageSetting, open_stage
from proofrig.trials.stopping import Stopping, Worker
from proofrig.trials.trial import attempt

OnProgress = Callable[[Progress], None]
# After a look (its number from 1, and the repeats so far): why no more are needed, or "".
OnLook = Callable[[int, int], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches the work. settled: asked at each look of a run with adaptive repeats."""

    on_progress: OnProgress
    settled: OnLook | None = None


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
        """Raises UsageError for a placeholder that cannot be read, for what a scenario asks of the
        suite in vain, and for money that nobody would keep."""
        if self.manifest.usd is not None and self.suite.authority.mode == "shadow":
            raise UsageError(
                f"expected an authority that enforces the run's budget of {self.manifest.usd:g} "
                "USD, got `mode: shadow` in the suite, where nothing is denied; write `mode: "
                "enforce`, or leave the money out (`usd` of the lane, --usd)"
            )
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

    def planned(self) -> list[Planned]:
        """All that it has to do, in the order to launch."""
        return self.missing(Finished(frozenset(), {}, ()))

    def missing(self, before: Finished) -> list[Planned]:
        """What has not come to its end. Baselines come first: a case that they show to be broken
        shows at once. Then the repeats in their order, then the scenarios."""
        chosen, facts = self.chosen(), self.chosen().facts(self.manifest.seed)
        missing = [planned for planned in self._plan(chosen) if planned.trial not in before.done]
        if before.settled:
            missing = [planned for planned in missing if planned.repeat <= before.settled]
        return missing + [
            Planned.of(start)
            for scenario in self.scenarios()
            if scenario.name not in before.scenarios
            for phase in scenario.phases(facts)
            for start in phase.starts
        ]

    def _plan(self, chosen: Suite) -> list[Planned]:
        """The trials of the plain plan; none where scenarios are run in its place."""
        manifest = self.manifest
        if manifest.scenarios and not manifest.plain:
            return []
        plan = list(baselines(chosen)) if manifest.baselines else []
        return plan + list(chosen.plan(manifest.repeats, manifest.seed))

    async def do(
        self, missing: list[Planned], before: Finished, watching: Watching, stopping: Stopping
    ) -> Worker:
        """Do what is missing, as far as `stopping` and the run's allowance allow."""
        doing = _Doing(self, before, watching, stopping)
        plain = [planned for planned in missing if planned.start is None]
        staged = [planned for planned in missing if planned.start is not None]
        if doing.allowance.limits:
            self.note(ALLOWANCE, doing.allowance.attrs())
        doing.progress.total = len(staged)
        worker: Runner | Performance | None = None
        if plain:
            worker = await doing.plan(plain, alone=not staged)
            if worker.over or worker.failure is not None:
                worker.left, staged = worker.left + staged, []
        if staged:
            worker = await doing.perform(staged)
        stopping.close()
        assert worker is not None, "nothing was missing"
        if worker.why is not None:
            self._cut(worker, worker.why, before)
        return worker

    def _cut(self, worker: Runner | Performance, why: Why, before: Finished) -> None:
        """Write down what was cut, if anything was left to cut."""
        done = {*before.scenarios, *(worker.done if isinstance(worker, Performance) else ())}
        scenarios = [one.name for one in self.scenarios() if one.name not in done]
        if worker.left or scenarios:
            cut = Cut.of(why, worker.left, self.planned(), scenarios)
            self.note(CUT, cut.attrs())

    def note(self, name: str, attrs: dict[str, Any]) -> None:
        """Put a note of the run as a whole on its history."""
        journal = Journal(self.run_dir, "work", clock_of(self.manifest))
        journal.write("note", name, attrs=attrs)
        journal.close()

    def staged(self) -> Suite:
        """The chosen suite as the ledger holds it: within the run's money."""
        chosen = self.chosen()
        return chosen.model_copy(update={"budgets": chosen.budgets.within(self.manifest.usd)})

    def limits(self) -> Limits:
        """What the whole run may use."""
        usd, minutes, staged = self.manifest.usd, self.manifest.minutes, self.staged()
        cap, policy = staged.budgets.run.usd, staged.whole_policy()
        limited = None if policy is None else policy.limits.get(SUITE_SCOPE)
        return Limits(
            usd_micro=None if usd is None else round(usd * 1e6),
            ns=None if minutes is None else round(minutes * 60e9),
            trial_usd_micro=None if cap is None else round(cap * 1e6),
            hard=limited is not None and limited.usd == usd,
        )


class _Doing:
    """A process's work on a run: its plan, then its scenarios."""

    def __init__(
        self, work: Work, before: Finished, watching: Watching, stopping: Stopping
    ) -> None:
        manifest = work.manifest
        self.work = work
        self.before = before
        self.watching = watching
        self.stopping = stopping
        self.cancel = stopping.act  # while there are no trials
        self.progress = Progress()
        self.allowance = Allowance(work.limits(), work.run_dir, clock_of(manifest))
        self.setting = StageSetting(
            suite=work.staged(),
            run_dir=work.run_dir,
            clock=clock_of(manifest),
            concurrency=manifest.concurrency,
            seed=manifest.seed,
            record=manifest.record,
            replay=replayed_by(manifest),
            allowance=self.allowance if self.allowance.limits else None,
        )

    async def plan(self, missing: list[Planned], *, alone: bool) -> Runner:
        """Run trials of the plain plan; `alone`: nothing comes after them."""
        settings = Settings(
            concurrency=self.setting.concurrency,
            retries=self.work.suite.retries.infra,
            retry_budget=max(10, len(missing) // 5),
            first_attempt={trial: began + 1 for trial, began in self.before.attempts.items()},
            allowance=self.setting.allowance,
        )
        async with open_stage(self.setting) as stage:
            runner = Runner(
                partial(attempt, stage), settings, self.watching.on_progress, self.progress
            )
            self.stopping.act, self.stopping.cut = runner.stop, runner.cut
            await self._rounds(runner, missing)
            if alone:
                self.stopping.close()
        return runner

    async def _rounds(self, runner: Runner, missing: list[Planned]) -> None:
        """Run the repeats up to each look, and ask there whether more of them would tell more."""
        looks = self.work.manifest.looks or [self.work.manifest.repeats]
        for number, repeats in enumerate(looks, start=1):
            due = [planned for planned in missing if planned.repeat <= repeats]
            missing = [planned for planned in missing if planned.repeat > repeats]
            self.progress.total += len(due)
            await runner.run(due)
            if runner.over or runner.failure is not None:
                break
            if missing and (why := await self._settled(number, repeats, missing)):
                settled = Settled(look=number, repeats=repeats, why=why)
                self.work.note(SETTLED, msgspec.to_builtins(settled))
                return
        runner.left += missing

    async def _settled(self, look: int, repeats: int, missing: list[Planned]) -> str:
        """Why no more repeats are needed; "" to go on. An earlier process that began further ones
        has looked already."""
        asked = self.watching.settled
        if asked is None or any(planned.trial in self.before.attempts for planned in missing):
            return ""
        return await asked(look, repeats)

    async def perform(self, missing: list[Planned]) -> Performance:
        """Carry out the scenarios that are missing."""
        setting = replace(self.setting, lab=True)
        performance = Performance(
            setting, self.before.attempts, self.watching.on_progress, self.progress
        )
        left = [one for one in self.work.scenarios() if one.name not in self.before.scenarios]
        self.stopping.act = self.cancel
        await performance.perform_all(left, self.stopping)
        performance.left += [one for one in missing if one.trial not in performance.begun]
        return performance


def replayed_by(manifest: Manifest) -> RecordedSettings | None:
    """What the run replays instead of the suite's own model; None: nothing."""
    return RecordedSettings.model_validate(manifest.replay) if manifest.replay else None


def clock_of(manifest: Manifest) -> RunClock:
    """The run's clock in this process, also when another process began the run."""
    return RunClock(time.monotonic_ns() - (time.time_ns() - manifest.started_ns))
