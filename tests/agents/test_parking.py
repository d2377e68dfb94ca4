"""The host's side of a gate: real pipes, real threads, the host's own loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrig.agents import parking


class Pipe:
    """A named pipe with a writer, as the runner's gate is."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self.writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def release(self) -> None:
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    made = Pipe(tmp_path / "gate")
    yield made
    made.release()


def test_a_pipe_is_released_when_its_writer_has_closed_it(pipe: Pipe) -> None:
    descriptor = parking.opened(pipe.path)
    assert not parking.is_released(descriptor)
    pipe.release()
    assert parking.is_released(descriptor)
    os.close(descriptor)


def test_threads_wait_until_then(pipe: Pipe) -> None:
    went: list[int] = []
    ready = threading.Barrier(6)

    def agent() -> None:
        ready.wait()
        went.append(parking.wait(pipe.path, 0))

    threads = [threading.Thread(target=agent) for _ in range(5)]
    for thread in threads:
        thread.start()
    ready.wait()
    time.sleep(0.03)
    assert went == []
    released = time.monotonic_ns()
    pipe.release()
    for thread in threads:
        thread.join(10)
    assert len(went) == 5
    assert min(went) >= released


def test_who_comes_after_the_release_does_not_wait(pipe: Pipe, tmp_path: Path) -> None:
    before = time.monotonic_ns()
    assert parking.wait(str(tmp_path / "gone"), 0) >= before
    pipe.release()  # and the pipe is still there
    assert parking.wait(pipe.path, 2_000_000) >= before + 2_000_000


async def test_jobs_of_a_shared_host_go_in_the_order_of_their_times(pipe: Pipe) -> None:
    gates = parking.Gates(asyncio.get_running_loop())
    went: list[str] = []
    done = asyncio.Event()
    gates.park(pipe.path, 40_000_000, lambda: (went.append("later"), done.set()))
    gates.park(pipe.path, 0, lambda: went.append("first"))
    gates.park(pipe.path, 0, lambda: went.append("second"))
    await asyncio.sleep(0.02)
    assert went == []
    pipe.release()
    await asyncio.wait_for(done.wait(), 10)
    assert went == ["first", "second", "later"]
    assert gates.waiting == {}


@pytest.mark.parametrize("there", [True, False])
async def test_a_job_of_a_gate_that_was_released_goes_at_once(
    pipe: Pipe, tmp_path: Path, there: bool
) -> None:
    """Also in the moment between the pipe's end and its removal, when nothing wakes the loop."""
    pipe.release()
    gates = parking.Gates(asyncio.get_running_loop())
    gone = asyncio.Event()
    gates.park(pipe.path if there else str(tmp_path / "gone"), 0, gone.set)
    await asyncio.wait_for(gone.wait(), 5)


async def test_gates_are_apart(pipe: Pipe, tmp_path: Path) -> None:
    other = Pipe(tmp_path / "other")
    gates = parking.Gates(asyncio.get_running_loop())
    went: list[str] = []
    gone = asyncio.Event()
    gates.park(pipe.path, 0, lambda: (went.append("one"), gone.set()))
    gates.park(other.path, 0, lambda: went.append("other"))
    pipe.release()
    await asyncio.wait_for(gone.wait(), 5)
    await asyncio.sleep(0.02)
    assert went == ["one"]
    other.release()
