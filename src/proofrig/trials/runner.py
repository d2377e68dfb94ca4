"""Many trials: how many at once, which again, and when to stop.

Rules:
1. At most `concurrency` attempts run at once; trials start in the order of the plan.
2. Infra failures are tried again, at most `retries` times a trial and `retry_budget` times a run.
3. After `stop()` nothing new starts and what runs is cancelled: it stays unfinished, for `resume`.
4. A history that cannot be written stops the run: going on would lose what finishes.
5. So does an outage: when `outage` trials in a row came to nothing but infra failures, the rest of
   the plan would too, and is left for `resume`.
6. Under an allowance a trial begins only when what is left of it is enough, and at its end what
   runs is cancelled. That, as any other `cut`, is no stop: `left` then holds what was not done.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from proofrig.errors import InfraError
from proofrig.suites import Planned
from proofrig.trials.allowance import Allowance, Overdrawn, Why
from proofrig.trials.baseline import role_of
from proofrig.trials.trial import Outcome


@dataclass(frozen=True, slots=True)
class Settings:
    """How trials are run. `first_attempt` gives the number of a trial's next attempt: above 1 for
    a trial whose earlier attempts were cut off. allowance: what the run may use; one_by_one: it is
    asked for each trial, and not for all of them as one."""

    concurrency: int = 8
    retries: int = 2
    retry_budget: int = 100
    outage: int = 20
    first_attempt: dict[str, int] = field(default_factory=dict)
    allowance: Allowance | None = None
    one_by_one: bool = True


@dataclass(slots=True)
class Progress:
    """Counts, as a person wants to see them while the run goes on. A baseline's trial is done
    like any other, but it neither passes nor fails: it is no trial of the agent. What was cut is no
    part of the total any more."""

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
        self._running: list[Planned] = []
        self._one_ended = asyncio.Event()
        self._retries_left = settings.retry_budget
        self._infra_in_a_row = 0
        self.progress = progress or Progress()
        self._counted = progress is not None  # whoever hands it in knows the total
        self.stopped = False
        self.failure: InfraError | None = None
        self.why: Why | None = None
        self.left: list[Planned] = []

    def stop(self) -> None:
        """Start nothing new and cancel what runs."""
        self.stopped = True
        self._cancel()

    def cut(self, why: Why) -> None:
        """The same, where that is how the run is meant to end."""
        if not self.over:
            self.why = why
            self._cancel()

    @property
    def over(self) -> bool:
        """True when nothing more begins, however many trials are planned."""
        return self.stopped or self.why is not None

    async def run(self, planned: Iterable[Planned]) -> None:
        """Run them all, or until `stop`, a `cut` or a failure of the history (then `failure` is
        set). Further trials may follow in another call."""
        queue = deque(planned)
        if not self._counted:
            self.progress.total += len(queue)
        workers = min(self._settings.concurrency, len(queue))
        self._tasks = {asyncio.create_task(self._work(queue)) for _ in range(workers)}
        timer = self._end_of_time()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if timer is not None:
            timer.cancel()
        if self.why is not None:
            self.left += [*self._running, *queue]
            self.progress.total -= len(self._running) + len(queue)
        self._running.clear()
        for result in results:
            if isinstance(result, InfraError):
                self.failure = result
            elif isinstance(result, Exception):
                raise result

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _end_of_time(self) -> asyncio.TimerHandle | None:
        """Cuts what runs when the run's time is up."""
        allowance = self._settings.allowance
        left_s = None if allowance is None else allowance.left_s()
        if allowance is None or left_s is None:
            return None
        why = allowance.time_is_up()
        return asyncio.get_running_loop().call_later(max(0.0, left_s), self.cut, why)

    async def _work(self, queue: deque[Planned]) -> None:
        while (planned := await self._next(queue)) is not None:
            self.progress.running += 1
            self._running.append(planned)
            try:
                outcome = await self._until_measured(planned)
                self._watch_for_an_outage(planned, outcome)
            except Overdrawn:
                assert self._settings.allowance is not None
                short = "what is left does not cover a call"
                self.cut(self._settings.allowance.no_money(short))
                return
            except InfraError:
                self.stop()
                raise
            except Exception:
                self._ended(planned)  # what waits for it goes on
                raise
            finally:
                self.progress.running -= 1
            self._ended(planned)
            self._count(planned, outcome)
            self._on_change(self.progress)

    async def _next(self, queue: deque[Planned]) -> Planned | None:
        """The next trial, once it may begin; None when there is none any more."""
        allowance = self._settings.allowance if self._settings.one_by_one else None
        while queue and not self.over:
            if allowance is None:
                return queue.popleft()
            beside: Counter[str] = Counter(role_of(one) for one in self._running)
            said = allowance.trial(role_of(queue[0]), beside)
            if said == "start":
                return queue.popleft()
            if isinstance(said, Why):
                self.cut(said)
                break
            await self._one_ended.wait()
        return None

    def _ended(self, planned: Planned) -> None:
        """A trial came to its end, and was not cut: those that wait may ask again."""
        self._running.remove(planned)
        if self._settings.allowance is not None and self._settings.one_by_one:
            self._settings.allowance.refresh()
        waiting, self._one_ended = self._one_ended, asyncio.Event()
        waiting.set()

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
