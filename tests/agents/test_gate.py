"""A gate in one process: who is counted, who goes, and when."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from proofrig.agents import parking
from proofrig.agents.gate import Gate, Ticket


async def test_the_last_one_parked_releases_all(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 3)
    began = time.monotonic_ns()
    waiting = [asyncio.create_task(gate.passed(0)) for _ in range(2)]
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in waiting)
    went = [await gate.passed(0), *await asyncio.gather(*waiting)]
    released = await gate.released()
    assert began < released <= min(went)
    assert os.listdir(tmp_path) == []


async def test_each_goes_at_its_time_after_the_release(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 3)
    order: list[int] = []

    async def agent(at_ns: int) -> int:
        went = await gate.passed(at_ns)
        order.append(at_ns)
        return went

    delays = (60_000_000, 0, 30_000_000)
    went = await asyncio.gather(*(agent(at_ns) for at_ns in delays))
    released = await gate.released()
    assert order == sorted(delays)
    assert all(at - released >= delay for at, delay in zip(went, delays, strict=True))


async def test_whoever_cannot_come_counts_once(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 2)
    lost, late = Ticket(gate, 0), Ticket(gate, 0)
    lost.parked()
    lost.parked()
    assert os.listdir(tmp_path) == ["gate"]
    await late.here()
    assert late.started_ns >= late.intended_ns == await gate.released()
    late.parked()  # when the trial is over
    lost.parked()


async def test_a_release_lets_all_go_and_may_come_twice(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 100)
    parked = asyncio.create_task(gate.passed(0))
    await asyncio.sleep(0)
    gate.release()
    gate.release()
    gate.parked()
    assert await parked >= await gate.released()


async def test_who_does_not_come_for_long_keeps_nobody(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 3, patience_s=0.05)
    tickets = [Ticket(gate), Ticket(gate)]
    early = asyncio.create_task(tickets[0].here())
    await asyncio.sleep(0.03)
    began = time.monotonic_ns()
    await asyncio.gather(early, tickets[1].here())
    assert min(ticket.started_ns for ticket in tickets) - began >= 50_000_000  # from the last one
    assert os.listdir(tmp_path) == []


async def test_one_that_is_cancelled_while_it_is_parked_leaves_the_others(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate", 2)
    tickets = [Ticket(gate, 0), Ticket(gate, 5_000_000)]
    given_up, other = (asyncio.create_task(ticket.here()) for ticket in tickets)
    await asyncio.sleep(0)
    given_up.cancel()
    await other
    assert given_up.cancelled() or not tickets[0].started_ns
    assert tickets[1].started_ns >= tickets[1].intended_ns


async def test_an_agent_that_is_parked_elsewhere_is_told_how_long_it_still_is(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "gate", 1)
    ticket = Ticket(gate, 3_600_000_000_000)
    ticket.parked()
    assert 3_599 < await ticket.elsewhere() <= 3_600
    assert ticket.intended_ns == await gate.released() + 3_600_000_000_000
    soon = Ticket(gate, 0)
    assert await soon.elsewhere() == 0.0


async def test_without_a_gate_an_agent_starts_at_once() -> None:
    ticket = Ticket()
    ticket.parked()
    before = time.monotonic_ns()
    await ticket.here()
    assert before <= ticket.started_ns == ticket.intended_ns


async def test_the_pipe_of_a_run_that_was_killed_is_no_obstacle(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = Gate(tmp_path / "gate", 1)
    assert await gate.passed(0) >= await gate.released()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("at_ns", [0, 20_000_000])
async def test_processes_wait_on_the_pipe_for_the_release(tmp_path: Path, at_ns: int) -> None:
    gate = Gate(tmp_path / "gate", 2)
    threads = [asyncio.create_task(asyncio.to_thread(parking.wait, gate.path, at_ns)) for _ in "ab"]
    await asyncio.sleep(0.05)
    assert not any(thread.done() for thread in threads)
    gate.parked()
    gate.parked()
    released = await gate.released()
    assert all(at >= released + at_ns for at in await asyncio.gather(*threads))
