"""Many trials: how many at once, which again, and when to stop.

Rules:
1. At most `concurrency` attempts run at once; trials start in the order of the plan.
2. Infra failures are tried again, at most `retries` times a trial and `retry_budget` times a run.
3. After `stop()` nothing new starts and what runs is cancelled: it stays unfinished, for `resume`.
4. A history that cannot be written stops the run: going on would lose what finishes.
5. So does an outage: when `outage` trials in a row came to nothing but infra failures, the rest of
   the plan would too, and is left for `resume`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from proofrig.errors import InfraError
from proofrig.suites import Planned
from proofrig.trials.baseline import role_of
from proofrig.trials.trial import Outcome


@dataclass(frozen=True, slots=True)
class Settings:
    """How trials are run. `first_attempt` gives the number of a trial's next attempt: above 1 for
    a trial whose earlier attempts were cut off."""

    concurrency: int = 8
    retries: int = 2
    retry_budget: int = 100
    outage: int = 20
    first_attempt: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """Counts, as a person wants to see them while the run goes on. A baseline's trial is done
    like any other, but it neither passes nor fails: it is no trial of the agent."""

    total: int = 0
    running: int = 0
    baselines: int = 0
    passed: int = 0
    failed: int = 0
    unmeasured: int = 0
    retried: int = 0
    latest: str = ""

    @property
    def done(self) -> int:
        return self.passed + self.failed + self.unmeasured + self.baselines


class Runner:
    """Runs planned trials through `attempt(planned, number, last)`, a coroutine function."""

    def __init__(
        self,
        attempt: Callable[[Planned, int, bool], Awaitable[Outcome]],
        settings: Settings,
        on_change: Callable[[Progress], None] = lambda progress: None,
        progress: Progress | None = None,
    ) -> None:
        self._attempt = attempt
        self._settings = settings
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._retries_left = settings.retry_budget
        self._infra_in_a_row = 0
        self.progress = progress or Progress()
        self._counted = progress is not None  # whoever hands it in knows the total
        self.stopped = False
        self.failure: InfraError | None = None

    def stop(self) -> None:
        """Start nothing new and cancel what runs."""
        self.stopped = True
        for task in self._tasks:
            task.cancel()

    async def run(self, planned: Iterable[Planned]) -> None:
        """Run them all, or until `stop` or a failure of the history (then `failure` is set)."""
        queue = deque(planned)
        if not self._counted:
            self.progress.total += len(queue)
        workers = min(self._settings.concurrency, len(queue))
        self._tasks = {asyncio.create_task(self._work(queue)) for _ in range(workers)}
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, InfraError):
                self.failure = result
            elif isinstance(result, Exception):
                raise result

    async def _work(self, queue: deque[Planned]) -> None:
        while queue and not self.stopped:
            planned = queue.popleft()
            self.progress.running += 1
            try:
                outcome = await self._until_measured(planned)
                self._watch_for_an_outage(planned, outcome)
            except InfraError:
                self.stop()
                raise
            finally:
                self.progress.running -= 1
            self._count(planned, outcome)
            self._on_change(self.progress)

    async def _until_measured(self, planned: Planned) -> Outcome:
        first = self._settings.first_attempt.get(planned.trial, 1)
        for number in range(first, first + self._settings.retries + 1):
            last = number == first + self._settings.retries or self._retries_left <= 0
            outcome = await self._attempt(planned, number, last)
            if outcome.failure != "infra" or last:
                return outcome
            self._retries_left -= 1
            self.progress.retried += 1
        raise AssertionError("the last attempt always returns")

    def _watch_for_an_outage(self, planned: Planned, outcome: Outcome) -> None:
        if role_of(planned) != "subject":
            return
        self._infra_in_a_row = self._infra_in_a_row + 1 if outcome.failure == "infra" else 0
        if self._infra_in_a_row >= self._settings.outage:
            raise InfraError(
                f"the last {self._infra_in_a_row} trials failed for reasons around the agent, the "
                f"latest: {outcome.error or 'see its trace'}"
            )

    def _count(self, planned: Planned, outcome: Outcome) -> None:
        if role_of(planned) != "subject":
            self.progress.baselines += 1
        elif outcome.passed is None:
            self.progress.unmeasured += 1
        elif outcome.passed:
            self.progress.passed += 1
        else:
            self.progress.failed += 1
        self.progress.latest = outcome.trial
