"""Signals while trials run: to the work, to its setting, or to nobody any more."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from proofrig.errors import InfraError
from proofrig.trials.allowance import Why
from proofrig.trials.stopping import SIGNALS, Stopping, Worker, until_stopped


class Work:
    """Trials that run until they are stopped."""

    def __init__(self) -> None:
        self.failure: InfraError | None = None
        self.stopped = False
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self.stopped = True
        self._stop.set()

    async def run(self, stopping: Stopping) -> Worker:
        stopping.act = self.stop
        os.kill(os.getpid(), signal.SIGINT)
        await self._stop.wait()
        return self


def handled() -> list[bool]:
    """Whether each of the signals has another effect than it has in any process."""
    plain = (signal.SIG_DFL, signal.default_int_handler)
    return [signal.getsignal(number) not in plain for number in SIGNALS]


async def test_a_signal_stops_the_work_by_its_own_stop() -> None:
    work = Work()
    assert await until_stopped(work.run) is work
    assert work.stopped
    assert handled() == [False, False]


@pytest.mark.parametrize("number", SIGNALS)
async def test_while_it_is_set_up_the_work_is_cancelled(number: int) -> None:
    cleaned = []

    async def setting_up(stopping: Stopping) -> Worker:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(30)
        finally:
            cleaned.append(stopping.came)
        raise AssertionError("it was not cancelled")

    assert await until_stopped(setting_up) is None
    assert cleaned == [True]
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()  # whoever awaits it goes on
    await asyncio.sleep(0)


async def test_a_cancellation_that_was_no_signal_is_passed_on() -> None:
    async def hangs(stopping: Stopping) -> Worker:
        await asyncio.sleep(30)
        raise AssertionError("it was not cancelled")

    task = asyncio.create_task(until_stopped(hangs))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert handled() == [False, False]


async def test_signals_are_left_to_themselves_once_the_trials_are_done() -> None:
    async def done(stopping: Stopping) -> Worker:
        assert handled() == [True, True]
        stopping.close()
        assert handled() == [False, False]
        return Work()

    assert not (await until_stopped(done)).stopped  # type: ignore[union-attr]


async def test_what_goes_wrong_goes_up() -> None:
    async def fails(stopping: Stopping) -> Worker:
        raise InfraError("no disk")

    with pytest.raises(InfraError, match="no disk"):
        await until_stopped(fails)
    assert handled() == [False, False]


async def test_before_there_are_trials_a_cut_does_nothing() -> None:
    async def setting_up(stopping: Stopping) -> Worker:
        stopping.cut(Why("gate", "hopeless"))
        return Work()

    work = await until_stopped(setting_up)
    assert work is not None
    assert not work.stopped
