"""Python agents in shared mode: a few hosts run all trials at once on the same instances.

Rules:
1. A trial goes to the host that has the fewest.
2. What is sent to a host in one turn of the loop is written together; a trial costs no task,
   thread or process here.
3. When a host ends, its trials get a reply that says so, and the next trial starts a new one.
4. A trial that is out of time is cancelled in its host; a thread cannot be, and is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

import msgspec

from proofrig.agents.agent import Attempt, Reply, tail
from proofrig.agents.boxes import Boxes
from proofrig.agents.gate import Ticket
from proofrig.agents.hosting import (
    START_TIMEOUT_S,
    HostReply,
    HostSettings,
    decode,
    job,
    unusable,
)
from proofrig.errors import InfraError, ProofrigError, UsageError
from proofrig.sandboxes.sandbox import Box, Command, Exit, Program


class SharedPythonAgent:
    """Spreads trials over hosts."""

    def __init__(self, settings: HostSettings, workers: int, boxes: Boxes) -> None:
        self._hosts = [
            SharedHost(numbered(settings, number), boxes) for number in range(1, workers + 1)
        ]

    async def start(self) -> None:
        await asyncio.gather(*(host.start() for host in self._hosts))

    async def run(self, attempt: Attempt) -> Reply:
        host = min(self._hosts, key=SharedHost.load)
        if not host.alive:
            try:
                await host.start()
            except UsageError as error:
                raise InfraError(
                    f"the shared agent process cannot be started again: {error}"
                ) from error
        return await host.run(attempt)

    async def close(self) -> None:
        await asyncio.gather(*(host.close() for host in self._hosts))


def numbered(settings: HostSettings, number: int) -> HostSettings:
    """The settings of host `number`: what it shares has the same name in every run."""
    env = {**settings.env, "PROOFRIG_WORKER": str(number)}
    return msgspec.structs.replace(settings, env=env)


class SharedHost:
    """One host process and the trials that run in it."""

    def __init__(self, settings: HostSettings, boxes: Boxes) -> None:
        self._settings = settings
        self._boxes = boxes
        self._box: Box | None = None
        self._program: Program | None = None
        self._watch: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._ready: asyncio.Future[HostReply] | None = None
        self._trials: dict[int, asyncio.Future[Reply]] = {}
        self._parking: dict[int, Ticket] = {}
        self._number = 0
        self._out: list[bytes] = []
        self._received = b""
        self.alive = False

    def load(self) -> int:
        return len(self._trials)

    async def start(self) -> None:
        """Start the process and wait until the agent is imported. Raises UsageError."""
        async with self._starting:
            if self.alive:
                return
            settings = self._settings
            loop = asyncio.get_running_loop()
            self._received = b""
            self._ready = loop.create_future()
            if self._box is not None:  # of a process that has ended
                await self._box.close()
            marker = settings.env.get("PROOFRIG_TOKEN") or secrets.token_urlsafe(16)
            box = self._box = await self._boxes.start("the shared agent process", marker)
            program = self._program = await box.exec(
                Command(
                    argv=settings.argv,
                    env=settings.env,
                    cwd=settings.cwd,
                    stdin=settings.config("shared"),
                    timeout_s=float("inf"),
                    stdout_cap=0,
                    marker=marker,
                ),
                keep_stdin=True,
                on_reply=self._receive,
            )
            self._watch = asyncio.create_task(self._watch_over(program))
            said, exit = await self._first_word(program, self._ready)
            if said is None or not said.ready:
                raise UsageError(unusable(settings.target, said, exit))
            self.alive = not self._watch.done()

    async def _first_word(
        self, program: Program, ready: asyncio.Future[HostReply]
    ) -> tuple[HostReply | None, Exit]:
        assert self._watch is not None
        await asyncio.wait(
            (ready, self._watch), timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        said = ready.result() if ready.done() else None
        if said is not None and said.ready:
            return said, Exit(code=0)
        if said is None:
            program.kill()
        return said, await program.wait()

    async def run(self, attempt: Attempt) -> Reply:
        loop = asyncio.get_running_loop()
        self._number = number = self._number + 1
        base = self._settings.env
        env = {name: value for name, value in attempt.env.items() if base.get(name) != value}
        ticket = attempt.ticket
        trial = self._trials[number] = loop.create_future()
        self._parking[number] = ticket
        self._send(job(attempt, number, env))
        timer: asyncio.TimerHandle | None = None
        try:
            wait_s = 0.0
            if ticket.gate is not None:
                wait_s = await ticket.elsewhere()
            timeout_s = attempt.timeout_s
            timer = loop.call_later(wait_s + timeout_s, self._expire, number, timeout_s)
            reply: Reply = await trial
            return reply
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._trials.pop(number, None)
            self._parking.pop(number, None)

    async def close(self) -> None:
        self.alive = False
        if self._program is not None and self._watch is not None:
            self._program.kill()
            with contextlib.suppress(ProofrigError):
                await self._watch
        if self._box is not None:
            await self._box.close()

    def _send(self, line: bytes) -> None:
        self._out.append(line)
        if len(self._out) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        data, self._out = b"".join(self._out), []
        if self._program is not None:
            self._program.send(data)

    def _expire(self, number: int, timeout_s: float) -> None:
        error = f"timed out after {timeout_s:g} s; the trial was cancelled in its shared process"
        self._settle(number, Reply(ending="timeout", error=error))
        self._cancel(number)

    def _cancel(self, number: int) -> None:
        self._send(msgspec.json.encode({"cancel": number}) + b"\n")

    def _settle(self, number: int, reply: Reply) -> None:
        trial = self._trials.get(number)
        if trial is not None and not trial.done():
            trial.set_result(reply)

    def _receive(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            said = decode(line)
            ticket = self._parking.get(said.i)
            if said.p:
                if ticket is not None:
                    ticket.parked()
            elif said.i >= 0:
                if ticket is not None:
                    ticket.parked()  # one that failed before it was parked will not come
                    ticket.started_ns = said.s
                self._settle(said.i, said.reply())
            elif self._ready is not None and not self._ready.done():
                self._ready.set_result(said)

    async def _watch_over(self, program: Program) -> None:
        """Wait for the host's end and tell its trials."""
        try:
            exit = await program.wait()
        except ProofrigError as error:  # the sandbox was lost, by no fault of the agent
            self.alive = False
            for trial in self._trials.values():
                if not trial.done():
                    trial.set_exception(error)
            return
        how = f"signal {exit.signal}" if exit.signal else f"exit code {exit.code}"
        detail = tail(exit)
        self.alive = False
        running = len(self._trials)
        for ticket in list(self._parking.values()):
            ticket.parked()  # it will not come
        for number in list(self._trials):
            self._settle(
                number,
                Reply(
                    ending="error",
                    error=f"the shared agent process ended ({how}) while it ran {running} trials",
                    detail=detail,
                ),
            )
