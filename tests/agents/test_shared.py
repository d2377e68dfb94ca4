"""Shared Python agents: one real host, many trials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from proofrig.agents.agent import Agent, Attempt
from proofrig.agents.boxes import Boxes
from proofrig.agents.gate import Gate, Ticket
from proofrig.agents.python import PythonAgentSettings, make_python_agent
from proofrig.errors import InfraError, SandboxError, UsageError
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Write

AGENT = """
    import asyncio, os, sys, threading, time

    COUNT = [0]
    BARRIER = threading.Barrier(8, timeout=15)
    TOGETHER = []

    def pid(task): return [os.getpid(), task]
    async def apid(task): return [os.getpid(), task]

    def count(task):
        COUNT[0] += 1
        return COUNT[0]

    def meet(task):
        BARRIER.wait()
        return "met"

    async def ameet(task):
        TOGETHER.append(task)
        while len(TOGETHER) < 8: await asyncio.sleep(0.001)
        return "met"

    def mixed(task):
        if task == "raise": raise KeyError("k")
        if task == "exit": sys.exit(2)
        if task == "awaitable": return asyncio.sleep(0, "slept")
        return task

    async def amixed(task):
        if task == "raise": raise KeyError("k")
        if task == "exit": sys.exit(2)
        if task == "stray exit":
            asyncio.get_running_loop().create_task(quit())
            await asyncio.sleep(0.02)
        return task

    async def quit(): sys.exit(3)

    def env(task, env, trial, workdir, tools_url, seed):
        own = [env["PROOFRIG_TOKEN"], env.get("EXTRA"), env["PATH"]]
        return [*own, trial, workdir, tools_url, seed]

    def dies(task):
        if task == "die":
            print("last words", file=sys.stderr)
            os._exit(7)
        if task == "wait": time.sleep(300)
        return "alive"

    def sleeps(task):
        if task == "sleep": time.sleep(300)
        return "awake"

    async def asleeps(task):
        if task == "sleep":
            try: await asyncio.sleep(300)
            finally: COUNT[0] += 1
        return COUNT[0]

    async def ready(task, prepared): return prepared

    async def prepare(task):
        if task == "lost": raise OSError("no way")
        return task

    ready.prepare = prepare

    class Mute(Exception):
        def __str__(self): raise RuntimeError("no words")

    def bad_words(task):
        if task == "mute": raise Mute
        raise ValueError("bad \\udc80 word")

    def floods(task):
        for _ in range(100): os.write(1, b"x" * 1_000_000)
        return "done"
"""

Make = Callable[..., Agent]
Attempts = Callable[..., Attempt]


@pytest.fixture
def make(write: Write, suite_dir: Path, sandbox: ProcessSandbox) -> Make:
    write("my_agent.py", AGENT)

    def make_agent(target: str, **settings: Any) -> Agent:
        target = target if ":" in target else f"my_agent:{target}"
        made = PythonAgentSettings(target=target, mode="shared", **settings)
        return make_python_agent(made, suite_dir, Boxes(sandbox), None)

    return make_agent


async def answers(agent: Agent, trials: list[Attempt]) -> list[Any]:
    await agent.start()
    try:
        replies = await asyncio.gather(*(agent.run(trial) for trial in trials))
    finally:
        await agent.close()
    return [
        json.loads(reply.answer)
        if reply.answer[:1].isdigit() or reply.answer[:1] == "["
        else reply.answer or reply.error
        for reply in replies
    ]


@pytest.mark.parametrize("name", ["pid", "apid"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_trials_share_the_workers(
    make: Make, attempt: Attempts, name: str, workers: int
) -> None:
    found = await answers(make(name, workers=workers), [attempt(f"t{n}", n=n) for n in range(40)])
    assert [task for _, task in found] == [f"t{n}" for n in range(40)]
    assert len({pid for pid, _ in found}) == workers


async def test_they_share_the_instances(make: Make, attempt: Attempts) -> None:
    found = await answers(make("count"), [attempt(n=n) for n in range(10)])
    assert sorted(found) == list(range(1, 11))


@pytest.mark.parametrize("name", ["meet", "ameet"])
async def test_they_really_run_at_once(make: Make, attempt: Attempts, name: str) -> None:
    found = await answers(make(name), [attempt(f"t{n}", n=n) for n in range(8)])
    assert found == ["met"] * 8


async def test_one_that_fails_before_it_is_parked_keeps_nobody(
    make: Make, attempt: Attempts, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate", 3)
    tasks = ["a", "lost", "b"]
    trials = [attempt(task, n=n, ticket=Ticket(gate)) for n, task in enumerate(tasks)]
    found = await answers(make("ready", workers=2), trials)
    assert found == ["a", "OSError: no way", "b"]


@pytest.mark.parametrize("name", ["mixed", "amixed"])
async def test_one_trials_failure_is_its_own(make: Make, attempt: Attempts, name: str) -> None:
    tasks = ["a", "raise", "b", "exit", "c"]
    found = await answers(make(name), [attempt(task, n=n) for n, task in enumerate(tasks)])
    assert found == ["a", "KeyError: 'k'", "b", "the agent called sys.exit(2)", "c"]


async def test_an_exit_in_a_task_left_behind_hurts_nobody(make: Make, attempt: Attempts) -> None:
    tasks = ["stray exit", "a"]
    found = await answers(make("amixed"), [attempt(task, n=n) for n, task in enumerate(tasks)])
    assert found == tasks


async def test_a_plain_function_may_give_something_to_await(make: Make, attempt: Attempts) -> None:
    assert await answers(make("mixed"), [attempt("awaitable")]) == ["slept"]


async def test_each_trial_has_its_own_facts(make: Make, attempt: Attempts) -> None:
    trials = [attempt(n=n, shared=True) for n in range(3)]
    trials = [
        Attempt(
            **{
                **{f: getattr(t, f) for f in t.__struct_fields__},
                "env": {**t.env, "EXTRA": t.trial},
            }
        )
        for t in trials
    ]
    found = await answers(make("env"), trials)
    assert found == [
        [t.token, t.trial, t.env["PATH"], t.trial, t.workdir, "http://127.0.0.1:9/tools", t.seed]
        for t in trials
    ]


async def test_a_dead_host_is_told_and_replaced(make: Make, attempt: Attempts) -> None:
    agent = make("dies")
    await agent.start()
    waiting = asyncio.create_task(agent.run(attempt("wait", n=1)))
    await asyncio.sleep(0)
    dying = await agent.run(attempt("die", n=2))
    waited = await waiting
    assert (dying.ending, waited.ending) == ("error", "error")
    assert dying.error == ("the shared agent process ended (exit code 7) while it ran 2 trials")
    assert "last words" in waited.detail
    again = await agent.run(attempt("live", n=3))
    assert (again.ending, again.answer) == ("ok", "alive")
    await agent.close()


async def test_a_lost_sandbox_is_infra_for_every_trial_in_it(
    make: Make, attempt: Attempts, sandbox: ProcessSandbox
) -> None:
    agent = make("sleeps")
    await agent.start()
    waiting = [asyncio.create_task(agent.run(attempt("sleep", n=n))) for n in (1, 2)]
    await asyncio.sleep(0.05)
    [keeper] = [p for p in psutil.Process().children() if "keeper.py" in " ".join(p.cmdline())]
    keeper.kill()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, SandboxError)
    assert (await agent.run(attempt("x", n=3))).answer == "awake"
    await agent.close()


async def test_errors_that_cannot_be_shown_are_told_at_once(make: Make, attempt: Attempts) -> None:
    found = await answers(make("bad_words"), [attempt(task, n=n) for n, task in enumerate("ab")])
    assert found == ["ValueError: bad ? word"] * 2
    [mute] = await answers(make("bad_words"), [attempt("mute", n=3)])
    assert mute.startswith("Mute: ")


async def test_a_host_that_cannot_come_back_is_infra(
    make: Make, write: Write, attempt: Attempts
) -> None:
    file = write("once.py", "import os\ndef run(task): os._exit(1)\n")
    agent = make("once:run")
    await agent.start()
    assert (await agent.run(attempt(n=1))).ending == "error"
    file.unlink()
    with pytest.raises(InfraError, match="no module 'once'"):
        await agent.run(attempt(n=2))
    await agent.close()


@pytest.mark.parametrize("name", ["sleeps", "asleeps"])
async def test_a_hanging_trial_times_out_alone(make: Make, attempt: Attempts, name: str) -> None:
    agent = make(name)
    await agent.start()
    late = await agent.run(attempt("sleep", n=1, timeout_s=0.3))
    assert late.ending == "timeout"
    other = await agent.run(attempt("x", n=2))
    assert other.ending == "ok"
    await agent.close()


async def test_a_flood_does_no_harm(make: Make, attempt: Attempts) -> None:
    assert await answers(make("floods"), [attempt()]) == ["done"]


async def test_a_large_task_goes_through(make: Make, attempt: Attempts) -> None:
    tasks = ["x" * 2_000_000, "\ud800y", "é"]
    found = await answers(make("mixed"), [attempt(task, n=n) for n, task in enumerate(tasks)])
    assert found == ["x" * 1_000_000, "?y", "é"]


async def test_a_cancelled_trial_leaves_the_host_usable(make: Make, attempt: Attempts) -> None:
    agent = make("asleeps")
    await agent.start()
    task = asyncio.create_task(agent.run(attempt("sleep", n=1)))
    await agent.run(attempt("x", n=2))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await agent.run(attempt("x", n=3))).answer == "1"
    await agent.close()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere:run", "no module 'nowhere'"),
        ("my_agent:pidd", "did you mean"),
        ("dies:run", "exit code 9"),
    ],
)
async def test_what_cannot_be_used_is_said_at_the_start(
    make: Make, write: Write, target: str, said: str
) -> None:
    write("dies.py", "import os; os._exit(9)\n")
    with pytest.raises(UsageError, match=said):
        await make(target).start()
