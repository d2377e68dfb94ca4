"""Command agents: real commands."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.boxes import Boxes
from proofrig.agents.command import AnswerFile, CommandAgent, CommandAgentSettings, encoded
from proofrig.agents.gate import Gate, Ticket
from proofrig.errors import UsageError
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Write

Run = Callable[..., Any]


@pytest.fixture
def run(suite_dir: Path, sandbox: ProcessSandbox, attempt: Callable[..., Attempt]) -> Run:
    async def run(
        *argv: str, task: Any = "do it", timeout_s: float = 20.0, **settings: Any
    ) -> Reply:
        made = CommandAgentSettings(argv=list(argv), **settings)
        agent = CommandAgent(made, suite_dir, Boxes(sandbox))
        await agent.start()
        return await agent.run(attempt(task, n=3, timeout_s=timeout_s))

    return run


async def test_task_on_standard_input_answer_on_standard_output(run: Run) -> None:
    reply = await run("tr", "a-z", "A-Z")
    assert (reply.answer, reply.ending, reply.exit_code) == ("DO IT", "ok", 0)


async def test_placeholders_in_arguments(run: Run, tmp_path: Path) -> None:
    reply = await run("echo", "{task}|{seed}|{trial}|{workdir}|{other}", task="say {seed}")
    assert reply.answer == f"say {{seed}}|3|case:3|{tmp_path}/world-3|{{other}}"


async def test_task_in_a_file_that_is_gone_afterwards(run: Run, tmp_path: Path) -> None:
    reply = await run("sh", "-c", "cat $0; echo; echo $0", "{task_file}", task="caf\u00e9")
    task, file = reply.answer.splitlines()
    assert task == "café"
    with pytest.raises(FileNotFoundError):
        os.stat(file)
    assert not Path(file).is_relative_to(tmp_path / "world-3")


async def test_without_standard_input(run: Run) -> None:
    assert (await run("cat", stdin=None)).answer == ""
    assert (await run("cat", stdin="<{task}>")).answer == "<do it>"


async def test_answer_in_a_file_of_the_world(run: Run) -> None:
    script = "echo noise; mkdir out; cat > out/$SEED.txt"
    reply = await run(
        "sh", "-c", script, answer=AnswerFile(file="out/{seed}.txt"), env={"SEED": "3"}
    )
    assert (reply.answer, reply.ending) == ("do it", "ok")


async def test_a_missing_answer_file_is_an_error(run: Run) -> None:
    reply = await run("sh", "-c", "echo gave up >&2", answer={"file": "a.txt"})
    assert reply.ending == "error"
    assert "expected the file a.txt" in reply.error
    assert reply.detail == "gave up\n"


async def test_environment_is_the_trials_and_the_settings(run: Run, tmp_path: Path) -> None:
    reply = await run("sh", "-c", "echo $PROOFRIG_TOKEN $MINE", env={"MINE": "1"})
    assert reply.answer == f"token-3-{tmp_path.name} 1"


async def test_invalid_utf8_is_replaced_and_said(run: Run) -> None:
    reply = await run("printf", r"a\377b")
    assert (reply.answer, reply.ending) == ("a\ufffdb", "ok")
    assert reply.detail == "the answer: invalid UTF-8, 1 places replaced by U+FFFD"


async def test_a_flood_is_cut(run: Run) -> None:
    reply = await run("head", "-c", "100000000", "/dev/zero")
    assert (len(reply.answer), reply.truncated, reply.ending) == (1_000_000, True, "ok")


@pytest.mark.parametrize(
    ("script", "ending", "error", "answer"),
    [
        ("echo part; exit 3", "error", "exit code 3", "part"),
        ("kill -SEGV $$", "killed", "killed by SIGSEGV", ""),
        ("exec 0<&- 1<&- 2<&-; exit 0", "ok", "", ""),
    ],
)
async def test_endings(run: Run, script: str, ending: str, error: str, answer: str) -> None:
    reply = await run("sh", "-c", script)
    assert (reply.ending, reply.error, reply.answer) == (ending, error, answer)


async def test_a_hanging_command_is_killed(run: Run) -> None:
    reply = await run("sleep", "300", timeout_s=0.3)
    assert (reply.ending, reply.exit_code) == ("timeout", None)
    assert reply.error.startswith("timed out after 0.3 s")


async def test_a_program_beside_the_suite(run: Run, write: Write) -> None:
    write("bin/agent.sh", "#!/bin/sh\ncat\n").chmod(0o755)
    assert (await run("bin/agent.sh")).answer == "do it"


@pytest.mark.parametrize("program", ["no-such-program", "./no/agent.sh"])
async def test_a_missing_program_is_said_at_the_start(run: Run, program: str) -> None:
    with pytest.raises(UsageError, match=program):
        await run(program)


@pytest.mark.parametrize("task", ["a\0b", "x" * 131_072])
async def test_a_task_that_cannot_be_an_argument(run: Run, task: str) -> None:
    with pytest.raises(UsageError, match="cannot be an argument"):
        await run("echo", "{task}", task=task)
    assert (await run("cat", task=task)).answer == task


@pytest.mark.parametrize(
    ("text", "data"),
    [("é", b"\xc3\xa9"), ("a\udcffb", b"a\xffb"), ("a\ud800b", b"a?b")],
)
def test_encoded(text: str, data: bytes) -> None:
    assert encoded(text) == data


async def test_a_command_is_started_after_the_release_and_its_time_counts_from_there(
    suite_dir: Path, sandbox: ProcessSandbox, attempt: Callable[..., Attempt], tmp_path: Path
) -> None:
    agent = CommandAgent(CommandAgentSettings(argv=["touch", "begun"]), suite_dir, Boxes(sandbox))
    gate = Gate(tmp_path / "gate", 2)
    ticket = Ticket(gate, 10_000_000)
    running = asyncio.create_task(agent.run(attempt(n=3, ticket=ticket, timeout_s=0.3)))
    await asyncio.sleep(0.5)
    assert os.listdir(tmp_path / "world-3") == []
    gate.parked()
    assert (await running).ending == "ok"
    assert os.listdir(tmp_path / "world-3") == ["begun"]
    assert ticket.started_ns >= ticket.intended_ns == await gate.released() + 10_000_000
