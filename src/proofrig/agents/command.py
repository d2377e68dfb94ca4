"""An agent that is a command: the task on standard input, in an argument or in a file; the answer
on standard output or in a file.

Rules:
1. Placeholders: {task} {workdir} {seed} {trial} {task_file}. `{task_file}` is a file outside the
   world that holds the task while the command runs.
2. The command runs in the trial's world. A relative program with a slash is looked for beside the
   suite.
3. Invalid UTF-8 in the answer is replaced, and `Reply.detail` says so.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from proofrig.agents.agent import (
    ANSWER_CAP,
    Attempt,
    Reply,
    decoded,
    ended_badly,
    tail,
    task_text,
    used,
)
from proofrig.agents.boxes import Boxes
from proofrig.agents.template import fill_text
from proofrig.errors import SandboxError, UsageError
from proofrig.sandboxes.sandbox import Box, Command, Exit

ARGUMENT_BYTES = 131_072  # Linux's limit of one argument (MAX_ARG_STRLEN)


class AnswerFile(BaseModel):
    """The answer is what the command left in this file of the world."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str


class CommandAgentSettings(BaseModel):
    """`agent: {type: command, argv: [...]}`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["command"] = "command"
    argv: list[str] = Field(min_length=1)
    stdin: str | None = "{task}"
    answer: Literal["stdout"] | AnswerFile = "stdout"
    env: dict[str, str] = {}


class CommandAgent:
    """Runs the command once per trial in a box of its own."""

    def __init__(self, settings: CommandAgentSettings, suite_dir: Path, boxes: Boxes) -> None:
        self._settings = settings
        self._suite_dir = suite_dir
        self._boxes = boxes
        program = settings.argv[0]
        beside = suite_dir / program
        self._program = str(beside) if "/" in program and beside.exists() else program

    async def start(self) -> None:
        if "{" not in self._program and shutil.which(self._program) is None:
            raise UsageError(
                f"the agent's command {self._settings.argv[0]!r} cannot be run: expected a program "
                f"on PATH or an executable file below {self._suite_dir}; check `agent.argv`"
            )

    async def run(self, attempt: Attempt) -> Reply:
        task = task_text(attempt.task)
        values = {
            "task": task,
            "workdir": attempt.workdir,
            "seed": str(attempt.seed),
            "trial": attempt.trial,
            "tenant": attempt.tenant,
        }
        argv = [self._program, *self._settings.argv[1:]]
        if not any("{task_file}" in part for part in argv):
            return await self._run(attempt, argv, values)
        with tempfile.NamedTemporaryFile("wb", prefix="proofrig-task-", suffix=".txt") as file:
            file.write(encoded(task))
            file.flush()
            return await self._run(attempt, argv, {**values, "task_file": file.name})

    async def _run(self, attempt: Attempt, argv: list[str], values: dict[str, str]) -> Reply:
        settings = self._settings
        filled = [fill_text(part, values) for part in argv]
        for part in filled:
            if "\0" in part or len(encoded(part)) >= ARGUMENT_BYTES:
                raise UsageError(
                    f"the task of {attempt.trial} cannot be an argument: it holds a NUL or "
                    f"{ARGUMENT_BYTES} bytes and more; hand it over as `stdin: "
                    '"{task}"` or by `{task_file}` in `agent.argv`'
                )
        await attempt.ticket.here()
        command = Command(
            argv=filled,
            env={**attempt.env, **settings.env},
            cwd=attempt.workdir,
            stdin=encoded(fill_text(settings.stdin, values)) if settings.stdin else b"",
            timeout_s=attempt.timeout_s,
            stdout_cap=ANSWER_CAP,
            marker=attempt.token,
        )
        async with self._boxes.of(attempt) as box:
            program = await box.exec(command)
            exit = await program.wait()
            return await self._reply(box, exit, attempt, values)

    async def _reply(self, box: Box, exit: Exit, attempt: Attempt, values: dict[str, str]) -> Reply:
        settings = self._settings
        bad = ended_badly(exit, attempt.timeout_s)
        if settings.answer == "stdout":
            data, size = exit.stdout, exit.stdout_bytes
        else:
            file = fill_text(settings.answer.file, values)
            try:
                data = await box.get(os.path.join(attempt.workdir, file), ANSWER_CAP + 1)
            except (OSError, SandboxError) as error:
                if bad is not None:
                    return bad
                return Reply(
                    ending="error",
                    error=f"the agent left no answer: expected the file {file} in its world "
                    f"({getattr(error, 'strerror', None) or error})",
                    detail=tail(exit),
                    exit_code=exit.code,
                    usage=used(exit),
                )
            data, size = data[:ANSWER_CAP], len(data)
        answer, remark = decoded(data.strip() if settings.answer == "stdout" else data)
        if bad is not None:
            return msgspec.structs.replace(bad, answer=answer)
        return Reply(
            answer=answer,
            detail="\n".join(
                part for part in (remark and f"the answer: {remark}", tail(exit)) if part
            ),
            exit_code=exit.code,
            truncated=size > ANSWER_CAP,
            usage=used(exit),
        )

    async def close(self) -> None: ...


def encoded(text: str) -> bytes:
    """UTF-8; bytes that came in as lone surrogates (`surrogateescape`) go out as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
