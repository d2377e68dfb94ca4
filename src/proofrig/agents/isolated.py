"""Python agents in isolated mode: a fresh host process per trial, which is the trial's
environment and current directory.

Rules:
1. That the agent can be found is shown once, before the first trial.
2. An answer counts once it is whole; what the process does after it can delay the trial by
   LINGER_S, no more.
"""

from __future__ import annotations

import asyncio
import secrets

import msgspec

from proofrig.agents.agent import ANSWER_CAP, Attempt, Reply, ended_badly, tail, used
from proofrig.agents.boxes import Boxes
from proofrig.agents.gate import Ticket
from proofrig.agents.hosting import (
    START_TIMEOUT_S,
    HostReply,
    HostSettings,
    job,
    replies,
    unusable,
)
from proofrig.errors import UsageError
from proofrig.sandboxes.sandbox import Box, Command, Exit, Program

LINGER_S = 2.0  # what a host may take to end once it has answered
REPLY_CAP = 7 * ANSWER_CAP + 100_000  # bytes: every character escaped, and a traceback


class IsolatedPythonAgent:
    """A fresh host per trial."""

    def __init__(self, settings: HostSettings, own_env: dict[str, str], boxes: Boxes) -> None:
        self._settings = settings
        self._own_env = own_env
        self._boxes = boxes

    async def start(self) -> None:
        settings = self._settings
        marker = secrets.token_urlsafe(16)
        box = await self._boxes.start("the look for the agent", marker)
        try:
            program = await box.exec(
                Command(
                    argv=settings.argv,
                    env=settings.env,
                    cwd=settings.cwd,
                    stdin=settings.config("check"),
                    timeout_s=START_TIMEOUT_S,
                    reply_cap=REPLY_CAP,
                    marker=marker,
                )
            )
            exit = await program.wait()
        finally:
            await box.close()
        said = replies(exit.reply)
        if not said or not said[0].ready:
            boxed = self._boxes.sandbox.level != "process"
            told = said[0] if said else None
            raise UsageError(unusable(settings.target, told, exit, boxed=boxed))

    async def run(self, attempt: Attempt) -> Reply:
        async with self._boxes.of(attempt) as box:
            return await self._run(attempt, box)

    async def _run(self, attempt: Attempt, box: Box) -> Reply:
        settings = self._settings
        received = bytearray()
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        if attempt.ticket.gate is not None and not self._boxes.gates:
            await attempt.ticket.here()
            attempt = msgspec.structs.replace(attempt, ticket=Ticket())
        ticket = attempt.ticket
        lines = 2 if ticket.gate is None else 3

        def on_reply(data: bytes) -> None:
            if len(received) < REPLY_CAP:
                received.extend(data)
            count = received.count(b"\n")
            if count >= 2:
                ticket.parked()
            if count >= lines and not timers:
                timers.append(loop.call_later(LINGER_S, program.kill))

        program = await box.exec(
            Command(
                argv=settings.argv,
                env={**attempt.env, **self._own_env},
                cwd=settings.cwd,
                stdin=settings.config("isolated") + job(attempt, 0, {}),
                timeout_s=attempt.timeout_s if ticket.gate is None else float("inf"),
                marker=attempt.token,
            ),
            on_reply=on_reply,
        )
        limit = asyncio.create_task(self._limit(program, ticket, attempt.timeout_s))
        try:
            exit = await program.wait()
        finally:
            limit.cancel()
            ticket.parked()  # or it never will
            for timer in timers:
                timer.cancel()
        # That it was parked is no answer.
        said = [reply for reply in replies(bytes(received)) if not reply.p]
        ticket.started_ns = said[-1].s if said else 0
        return self._reply(said[-1] if said else None, exit, attempt)

    async def _limit(self, program: Program, ticket: Ticket, timeout_s: float) -> None:
        """The time of an agent that is parked counts from its start."""
        if ticket.gate is not None:
            await asyncio.sleep(await ticket.elsewhere() + timeout_s)
            program.expire()

    def _reply(self, said: HostReply | None, exit: Exit, attempt: Attempt) -> Reply:
        if said is not None and said.i == 0:
            reply = said.reply()
            detail = reply.detail or tail(exit)
        elif said is not None and said.fatal is not None:
            return Reply(
                ending="error",
                error=said.fatal.partition("\n")[0],
                detail=said.fatal,
                usage=used(exit),
            )
        else:
            bad = ended_badly(exit, attempt.timeout_s)
            if bad is not None:
                return bad
            reply = Reply(ending="error", error="the agent ended its process without an answer")
            detail = tail(exit)
        return msgspec.structs.replace(reply, detail=detail, usage=used(exit), exit_code=exit.code)

    async def close(self) -> None: ...
