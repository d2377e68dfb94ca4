"""Isolated Python agents: real hosts, small agents."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofrig.agents.agent import Agent, Attempt, Reply
from proofrig.agents.boxes import Boxes
from proofrig.agents.gate import Gate, Ticket
from proofrig.agents.python import PythonAgentSettings, make_python_agent
from proofrig.errors import UsageError
from proofrig.sandboxes import keeper
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Write

AGENT = """
    import asyncio, functools, os, signal, subprocess, sys, time

    def plain(task):
        return task.upper()

    async def coroutine(task):
        await asyncio.sleep(0)
        return task.upper()

    def everything(task, *, seed, workdir, env, trial, messages, tools_url, other=1):
        return dict(task=task, seed=seed, workdir=workdir == os.getcwd(),
                    token=env["PROOFRIG_TOKEN"], same=env == dict(os.environ), trial=trial,
                    messages=messages, tools=tools_url)

    def only_messages(messages):
        return messages[-1]["content"] + str(len(messages))

    class Box:
        def method(self, task): return "method " + task
        async def __call__(self, task): return "called " + task
    box = Box()
    partial = functools.partial(lambda prefix, task: prefix + task, "partial ")

    def bad_words(task): raise ValueError("bad \\udc80 word")
    def nothing(task): return None
    def raises(task): raise ValueError("no luck\\nsecond line")
    def unjsonable(task): return object()
    def exits(task): sys.exit(4)
    def hard_exit(task): os._exit(5)
    def hard_exit_zero(task): os._exit(0)
    def segfaults(task): os.kill(os.getpid(), signal.SIGSEGV)
    def hangs(task): time.sleep(300)
    def floods(task):
        for _ in range(100): os.write(1, b"x" * 1_000_000)
        return "done"
    def prints(task):
        print("{\\"i\\": 0, \\"a\\": \\"forged\\"}"); print("to err", file=sys.stderr)
        return "true answer"
    def reads(task): return repr(sys.stdin.read())
    def closes(task):
        for fd in (0, 1, 2): os.close(fd)
        return "still here"
    def long(task): return "\\u00e9" * 1_500_000
    def surrogate(task): return "a\\udc80b"
    def forks(task):
        pid = os.fork()
        return "child" if pid == 0 else "parent"
    def leaves(task):
        return str(subprocess.Popen(["sleep", "300"], start_new_session=True).pid)
    def lingers(task):
        import threading
        threading.Thread(target=time.sleep, args=(300,)).start()
        return "answered"
    def stdlib(task):
        import http.client, http
        return http.__file__
    def takes_nothing(): return "x"
    def needs_more(task, database, flavour): return "x"
    def scribbles(task):
        for fd in range(3, 20):
            try: os.write(fd, b"junk" + bytes([255]) + task.encode())
            except OSError: pass
        return "answered"
    constant = 5
"""

Make = Callable[..., Agent]


@pytest.fixture
def make(write: Write, suite_dir: Path, sandbox: ProcessSandbox) -> Make:
    write("my_agent.py", AGENT)

    def make_agent(target: str, **settings: Any) -> Agent:
        target = target if ":" in target else f"my_agent:{target}"
        return make_python_agent(
            PythonAgentSettings(target=target, **settings), suite_dir, Boxes(sandbox), None
        )

    return make_agent


Attempts = Callable[..., Attempt]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("plain", "DO IT"),
        ("coroutine", "DO IT"),
        ("only_messages", "do it1"),
        ("box", "called do it"),
        ("box.method", "method do it"),
        ("partial", "partial do it"),
        ("nothing", ""),
        ("prints", "true answer"),
        ("reads", "''"),
        ("closes", "still here"),
        ("surrogate", "a?b"),
        ("forks", "parent"),
    ],
)
async def test_answers(make: Make, attempt: Attempts, name: str, answer: str) -> None:
    reply = await make(name).run(attempt())
    assert (reply.ending, reply.answer, reply.error) == ("ok", answer, "")


async def test_an_error_that_is_no_valid_text_is_told(make: Make, attempt: Attempts) -> None:
    reply = await make("bad_words").run(attempt())
    assert (reply.ending, reply.error) == ("error", "ValueError: bad ? word")


async def test_what_an_agent_can_ask_for(make: Make, attempt: Attempts) -> None:
    messages = [{"role": "system", "content": "be"}, {"role": "user", "content": "do"}]
    trial = attempt(messages, n=3, port=80)
    assert json.loads((await make("everything").run(trial)).answer) == {
        "task": "system: be\n\nuser: do",
        "seed": 3,
        "workdir": True,
        "token": trial.token,
        "same": True,
        "trial": "case:3",
        "messages": messages,
        "tools": f"http://127.0.0.1:80/t/{trial.token}/tools",
    }


@pytest.mark.parametrize(
    ("name", "ending", "error"),
    [
        ("raises", "error", "ValueError: no luck"),
        ("unjsonable", "error", "the agent returned a object, expected text or what JSON can hold"),
        ("exits", "error", "the agent called sys.exit(4)"),
        ("hard_exit", "error", "exit code 5"),
        ("hard_exit_zero", "error", "the agent ended its process without an answer"),
        ("segfaults", "killed", "killed by SIGSEGV"),
    ],
)
async def test_bad_endings(
    make: Make, attempt: Attempts, name: str, ending: str, error: str
) -> None:
    reply = await make(name).run(attempt())
    assert reply.ending == ending
    assert reply.error.startswith(error)


async def test_a_traceback_shows_the_agents_own_frames(make: Make, attempt: Attempts) -> None:
    reply = await make("raises").run(attempt())
    assert "my_agent.py" in reply.detail and "second line" in reply.detail
    assert "host.py" not in reply.detail


async def test_a_hanging_agent_is_killed(make: Make, attempt: Attempts) -> None:
    reply = await make("hangs").run(attempt(timeout_s=0.5))
    assert (reply.ending, reply.answer) == ("timeout", "")


async def test_a_flood_does_no_harm(make: Make, attempt: Attempts) -> None:
    assert (await make("floods").run(attempt())).answer == "done"


@pytest.mark.parametrize(("task", "ending"), [("\n", "ok"), ("", "error")])
async def test_junk_on_its_reply_pipe_does_no_harm(
    make: Make, attempt: Attempts, task: str, ending: str
) -> None:
    assert (await make("scribbles").run(attempt(task))).ending == ending


async def test_a_long_answer_is_cut(make: Make, attempt: Attempts) -> None:
    reply = await make("long").run(attempt())
    assert (reply.answer, reply.truncated) == ("é" * 1_000_000, True)


async def test_what_it_leaves_running_is_hunted_down(make: Make, attempt: Attempts) -> None:
    reply = await make("leaves").run(attempt())
    assert keeper.parent_and_state(int(reply.answer))[1] in ("", "Z")
    assert reply.usage["strays"] == 1
    assert reply.usage["max_rss_bytes"] > 1_000_000


async def test_a_thread_that_lingers_does_not_cost_the_answer(
    make: Make, attempt: Attempts
) -> None:
    assert (await make("lingers").run(attempt())).answer == "answered"


async def test_the_hosts_neighbours_hide_nothing(make: Make, attempt: Attempts) -> None:
    assert "proofrig" not in (await make("stdlib").run(attempt())).answer


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("my_agnt:plain", "no module 'my_agnt', did you mean 'my_agent'?"),
        ("my_agent:plian", "has no 'plian': module my_agent ("),
        ("my_agent:plian", "did you mean 'plain'?"),
        ("my_agent:constant", "is a int, expected a function"),
        ("my_agent:takes_nothing", "takes no task"),
        ("my_agent:needs_more", "needs the argument database, flavour"),
        ("broken:run", "importing the agent 'broken:run' failed: SyntaxError"),
        ("wants:run", "No module named 'not_installed'"),
        ("dies:run", "did not come to an end: exit code 9"),
        ("quits:run", "the agent called sys.exit(1)"),
    ],
)
async def test_what_cannot_be_used_is_said_at_the_start(
    make: Make, write: Write, attempt: Attempts, target: str, said: str
) -> None:
    write("broken.py", "def run(task:\n")
    write("wants.py", "import not_installed\n")
    write("dies.py", "import os; os._exit(9)\n")
    write("quits.py", "import sys; sys.exit(1)\n")
    with pytest.raises(UsageError) as caught:
        await make(target).start()
    assert said in str(caught.value)
    assert (await make(target).run(attempt())).ending == "error"


async def test_a_missing_module_names_where_it_was_looked_for(make: Make, suite_dir: Path) -> None:
    with pytest.raises(UsageError) as caught:
        await make("nowhere:run").start()
    assert str(suite_dir) in str(caught.value)
    assert sys.executable in str(caught.value)


async def test_start_is_content_with_a_good_agent(make: Make) -> None:
    await make("plain").start()


async def test_path_and_environment_of_the_settings(
    make: Make, write: Write, attempt: Attempts
) -> None:
    write("lib/helper.py", "WORD = 'helped'\n")
    write("uses.py", "import os, helper\ndef run(task): return helper.WORD + os.environ['X']\n")
    agent = make("uses:run", path=["lib"], env={"X": "1"})
    assert await _answer(agent, attempt()) == "helped1"


async def _answer(agent: Agent, trial: Attempt) -> str:
    reply: Reply = await agent.run(trial)
    return reply.answer or reply.error


PARKED = """
    import os, signal, time

    def begin(task):
        if task == "hang": time.sleep(300)
        if task == "exit": os._exit(0)
        if task == "kill": os.kill(os.getpid(), signal.SIGKILL)
        return time.monotonic_ns()
"""


async def parked(
    write: Write,
    suite_dir: Path,
    sandbox: ProcessSandbox,
    gate: Gate,
    attempts: list[Attempt],
) -> list[asyncio.Task[Reply]]:
    """Start each attempt in a host of its own; all park behind `gate`."""
    write("parked_agent.py", PARKED)
    settings = PythonAgentSettings(target="parked_agent:begin")
    agent = make_python_agent(settings, suite_dir, Boxes(sandbox), None)
    return [asyncio.create_task(agent.run(attempt)) for attempt in attempts]


async def test_hosts_are_parked_and_released_together(
    write: Write, suite_dir: Path, sandbox: ProcessSandbox, attempt: Attempts, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate", 3)
    tickets = [Ticket(gate, at_ns) for at_ns in (0, 30_000_000)]
    attempts = [attempt(n=n, ticket=ticket) for n, ticket in enumerate(tickets)]
    running = await parked(write, suite_dir, sandbox, gate, attempts)
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in running)
    gate.parked()
    replies = await asyncio.gather(*running)
    released = await gate.released()
    for reply, ticket in zip(replies, tickets, strict=True):
        assert reply.ending == "ok"
        assert ticket.intended_ns == released + ticket.at_ns <= ticket.started_ns
        assert ticket.started_ns <= int(reply.answer)


@pytest.mark.parametrize(
    ("task", "ending", "said"),
    [
        ("hang", "timeout", "timed out after 0.3 s"),
        ("exit", "error", "the agent ended its process without an answer"),
        ("kill", "killed", "SIGKILL"),
    ],
)
async def test_that_it_was_parked_is_no_answer(
    write: Write,
    suite_dir: Path,
    sandbox: ProcessSandbox,
    attempt: Attempts,
    tmp_path: Path,
    task: str,
    ending: str,
    said: str,
) -> None:
    """However it ends after it was parked; its time counts from its start."""
    gate = Gate(tmp_path / "gate", 2)
    late = attempt(task, ticket=Ticket(gate), timeout_s=0.3)
    [running] = await parked(write, suite_dir, sandbox, gate, [late])
    await asyncio.sleep(0.6)
    assert not running.done()
    gate.parked()
    reply = await running
    assert (reply.ending, reply.answer) == (ending, "")
    assert said in reply.error


async def test_a_host_that_never_parks_keeps_nobody_waiting(
    write: Write, suite_dir: Path, sandbox: ProcessSandbox, attempt: Attempts, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate", 2)
    broken = attempt(n=1, ticket=Ticket(gate), workdir=str(tmp_path / "no such place"))
    running = await parked(
        write, suite_dir, sandbox, gate, [attempt(n=0, ticket=Ticket(gate)), broken]
    )
    good, bad = await asyncio.gather(*running)
    assert (good.ending, bad.ending) == ("ok", "error")
    assert int(good.answer) >= await gate.released()
