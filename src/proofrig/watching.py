"""Looks at a run while it goes on: what it is to decide, whether that is settled, and whether a
gate that ends the run has failed for good.

Rules:
1. What is looked at is the history so far, as a resumed run would read it; the looks themselves
   are in `adaptive`.
2. A look is taken in a thread: trials go on meanwhile. Looks at gates are a second apart at least,
   and only when one trial in twenty is new.
3. A look that fails is said, and takes nothing from the run.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from proofrig.adaptive import Question, SoFar, rate_gate
from proofrig.comparisons.sampling import ToolsFold, sample_of
from proofrig.conclusion import Run, fail_under_of, fold_history
from proofrig.gating import asked_of
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.results import RowsFold
from proofrig.trials.allowance import Why
from proofrig.trials.baseline import role_of
from proofrig.trials.curtailed import CurtailedFold
from proofrig.trials.runner import Progress
from proofrig.trials.stopping import Stopping, Worker
from proofrig.trials.work import OnProgress

LEAST_NEWS = 0.05  # of all trials, before gates are looked at again
BETWEEN_S = 1.0  # two looks at gates


def question_of(held: Run) -> Question:
    """What the run is to decide. Raises UsageError for a baseline that names nothing."""
    work, asked = held.work(), asked_of(held.suite, held.manifest, held.options)
    own = [planned for planned in work.planned() if role_of(planned) == "subject"]
    by_scenario = Counter(planned.start.scenario for planned in own if planned.start is not None)
    percent = fail_under_of(held)
    return Question(
        gates=[*([] if percent is None else [rate_gate(percent)]), *asked.gates],
        base=asked.base,
        terms=asked.terms,
        cases=len(work.chosen().cases),
        planned={**by_scenario, "": len(own)},
        looks=held.manifest.looks,
    )


def so_far(held: Run) -> SoFar:
    """The run as far as its history goes."""
    history, fold = History(held.dir), RowsFold()
    tools, curtailed = ToolsFold(PayloadReader(held.dir).get), CurtailedFold()
    summary = fold_history(held, history, fold, tools, curtailed)
    rows = fold.result()
    sample = sample_of(msgspec.to_builtins(held.manifest), summary, rows, tools.result())
    return SoFar(summary, rows, sample)


class Watch:
    """Looks at a run while it goes on: whether its question is settled, and whether a gate that
    ends the run has failed for good."""

    def __init__(self, held: Run, question: Question, on_progress: OnProgress) -> None:
        self.problems: list[str] = []
        self._held = held
        self._question = question
        self._on_progress = on_progress
        self._progress = Progress()
        self._changed = asyncio.Event()

    def seen(self, progress: Progress) -> None:
        """A trial has ended."""
        self._progress = progress
        self._changed.set()
        self._on_progress(progress)

    async def settled(self, look: int, repeats: int) -> str:
        """Why no more repeats are needed; "" to go on."""
        try:
            return await asyncio.to_thread(self._settled, look)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            self.problems.append(f"after {repeats} repeats nothing could settle the run: {said}")
            return ""

    def _settled(self, look: int) -> str:
        return self._question.settled(so_far(self._held), look)

    async def over(self, do: Callable[[Stopping], Awaitable[Worker]], stopping: Stopping) -> Worker:
        """Do the work, and abort it where a gate asks for that."""
        if not any(gate.abort for gate in self._question.gates):
            return await do(stopping)
        watching = asyncio.create_task(self._abort(stopping))
        try:
            return await do(stopping)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _abort(self, stopping: Stopping) -> None:
        began, looked, done = time.monotonic(), 0.0, 0
        first = min(gate.after_s for gate in self._question.gates if gate.abort)
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._progress.done - done < max(1.0, LEAST_NEWS * self._progress.total):
                continue
            await asyncio.sleep(max(began + first, looked + BETWEEN_S) - time.monotonic())
            looked, done = time.monotonic(), self._progress.done
            try:
                why = await asyncio.to_thread(self._aborted, looked - began)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                self.problems.append(f"no gate could end the run early; looking at it gave {said}")
                return
            if why:
                stopping.cut(Why("gate", why))
                return

    def _aborted(self, elapsed_s: float) -> str:
        return self._question.aborted(so_far(self._held), elapsed_s)
