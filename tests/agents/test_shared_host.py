"""Agents parked behind a gate in shared hosts: real hosts, real pipes; order, never wall times."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proofrig.agents.agent import Agent, Attempt, Reply
from proofrig.agents.boxes import Boxes
from proofrig.agents.gate import Gate, Ticket
from proofrig.agents.python import PythonAgentSettings, make_python_agent
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Write

AGENT = """
    import asyncio, os, time

    BEGUN = []

    def begin(task):
        BEGUN.append(task)
        return [time.monotonic_ns(), os.getpid(), list(BEGUN)]

    async def abegin(task): return begin(task)

    def hang(task):
        if task != "hang": return begin(task)
        BEGUN.append(task)
        time.sleep(300)

    async def ahang(task):
        if task != "hang": return begin(task)
        BEGUN.append(task)
        await asyncio.sleep(300)

    async def block(task):
        time.sleep(0.3)
        os._exit(7)

    def die(task):
        if task == "die": os._exit(7)
        return begin(task)
"""

Attempts = Callable[..., Attempt]
Make = Callable[..., Agent]


@pytest.fixture
def make(write: Write, suite_dir: Path, sandbox: ProcessSandbox) -> Make:
    write("parked_agent.py", AGENT)

    def make_agent(name: str, workers: int = 1) -> Agent:
        target = f"parked_agent:{name}"
        settings = PythonAgentSettings(target=target, mode="shared", workers=workers)
        return make_python_agent(settings, suite_dir, Boxes(sandbox), None)

    return make_agent


def begun(reply: Reply) -> tuple[int, int, list[str]]:
    """(when, in which process, the tasks begun there so far)."""
    assert reply.ending == "ok", reply.error
    when, pid, tasks = json.loads(reply.answer)
    return when, pid, tasks


@pytest.mark.parametrize("name", ["begin", "abegin"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_twenty_jobs_start_only_after_the_last_one_is_parked(
    make: Make, attempt: Attempts, tmp_path: Path, name: str, workers: int
) -> None:
    agent = make(name, workers)
    await agent.start()
    gate = Gate(tmp_path / "gate", 21)
    tickets = [Ticket(gate) for _ in range(20)]
    running = [
        asyncio.create_task(agent.run(attempt(f"t{n}", n=n, ticket=ticket)))
        for n, ticket in enumerate(tickets)
    ]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in running)
    last = time.monotonic_ns()
    gate.parked()
    found = [begun(reply) for reply in await asyncio.gather(*running)]
    await agent.close()
    released = await gate.released()
    assert last <= released
    assert all(when >= released for when, _, _ in found)
    assert len({pid for _, pid, _ in found}) == workers
    for ticket, (when, _, _) in zip(tickets, found, strict=True):
        assert ticket.intended_ns == released <= ticket.started_ns <= when


async def test_a_schedule_is_kept_in_order(make: Make, attempt: Attempts, tmp_path: Path) -> None:
    agent = make("abegin")
    await agent.start()
    gate = Gate(tmp_path / "gate", 4)
    delays = {"c": 90_000_000, "a": 0, "d": 140_000_000, "b": 45_000_000}
    tickets = {task: Ticket(gate, at_ns) for task, at_ns in delays.items()}
    replies = await asyncio.gather(
        *(agent.run(attempt(t, n=n, ticket=tickets[t])) for n, t in enumerate(delays))
    )
    await agent.close()
    [whole] = [tasks for _, _, tasks in map(begun, replies) if len(tasks) == 4]
    assert whole == ["a", "b", "c", "d"]
    for task, ticket in tickets.items():
        assert ticket.intended_ns == await gate.released() + delays[task]
        assert ticket.started_ns >= ticket.intended_ns


@pytest.mark.parametrize("name", ["begin", "abegin"])
async def test_a_job_that_is_cancelled_while_parked_never_starts(
    make: Make, attempt: Attempts, tmp_path: Path, name: str
) -> None:
    agent = make(name)
    await agent.start()
    gate = Gate(tmp_path / "gate", 3)
    running = [
        asyncio.create_task(agent.run(attempt(f"t{n}", n=n, ticket=Ticket(gate)))) for n in (0, 1)
    ]
    await asyncio.sleep(0.1)
    running[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await running[0]
    await agent.run(attempt("between", n=2))  # the host has read the cancellation
    gate.release()
    assert begun(await running[1])[2] == ["between", "t1"]
    assert begun(await agent.run(attempt("after", n=3)))[2] == ["between", "t1", "after"]
    await agent.close()


@pytest.mark.parametrize("name", ["hang", "ahang"])
async def test_the_time_of_an_agent_counts_from_its_start(
    make: Make, attempt: Attempts, tmp_path: Path, name: str
) -> None:
    agent = make(name)
    await agent.start()
    gate = Gate(tmp_path / "gate", 3)
    hanging, parked = (
        asyncio.create_task(agent.run(attempt(t, n=n, ticket=Ticket(gate), timeout_s=0.2)))
        for n, t in enumerate(("hang", "other"))
    )
    await asyncio.sleep(0.5)  # more than its time
    assert not hanging.done()
    gate.parked()
    assert (await hanging).ending == "timeout"
    assert begun(await parked)[0] >= await gate.released()
    assert "hang" in begun(await agent.run(attempt("after", n=3)))[2]  # it did start
    await agent.close()


async def test_a_host_that_dies_takes_its_own_jobs_and_no_others_with_it(
    make: Make, attempt: Attempts, tmp_path: Path
) -> None:
    agent = make("die", workers=2)
    await agent.start()
    gate = Gate(tmp_path / "gate", 4)
    running = [
        asyncio.create_task(agent.run(attempt(f"t{n}", n=n, ticket=Ticket(gate)))) for n in range(3)
    ]
    await asyncio.sleep(0.1)
    # Two jobs are parked in one host and one in the other, which is where the next one goes.
    assert "exit code 7" in (await agent.run(attempt("die", n=9))).error
    gate.parked()
    replies = await asyncio.gather(*running)
    assert sorted(reply.ending for reply in replies) == ["error", "ok", "ok"]
    released = await gate.released()
    assert all(begun(reply)[0] >= released for reply in replies if reply.ending == "ok")
    again = await asyncio.gather(*(agent.run(attempt("again", n=n)) for n in (10, 11)))
    assert ["again"] in [begun(reply)[2] for reply in again]  # in a new host
    await agent.close()


async def test_a_job_whose_host_dies_before_it_is_parked_keeps_nobody_waiting(
    make: Make, attempt: Attempts, tmp_path: Path
) -> None:
    blocked, other = make("block"), make("begin")
    await blocked.start()
    await other.start()
    gate = Gate(tmp_path / "gate", 2)
    dying = asyncio.create_task(blocked.run(attempt("die", n=1)))
    await asyncio.sleep(0.1)  # its loop reads nothing any more
    unread = asyncio.create_task(blocked.run(attempt("t2", n=2, ticket=Ticket(gate))))
    reply = await other.run(attempt("t3", n=3, ticket=Ticket(gate)))
    assert begun(reply)[0] >= await gate.released()
    assert [(await task).ending for task in (dying, unread)] == ["error", "error"]
    await blocked.close()
    await other.close()
