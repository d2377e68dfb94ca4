"""The runner's end of the line to the rig."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from proofrig.errors import HarnessError, InfraError, ProofrigError, SandboxError, UsageError
from proofrig.gateways.gateway import Binding
from proofrig.rig.protocol import (
    Begin,
    Begun,
    End,
    Ended,
    Failed,
    Kind,
    Plan,
    Ready,
    Strike,
    Struck,
    answer_decoder,
    line,
)
from proofrig.sandboxes.sandbox import Box

ERRORS: dict[Kind, type[ProofrigError]] = {
    "usage": UsageError,
    "infra": InfraError,
    "harness": HarnessError,
}


class RigLost(InfraError):
    """The rig process is gone; the run cannot go on."""


class Rig:
    """A started rig. `port` and `segment` are known after `start`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.port = 0
        self.proxies: dict[str, int] = {}
        self.egress = 0
        self.bundle = ""
        self.segment = ""
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[tuple[type, str], asyncio.Future[Begun | Ended]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self.boxes: dict[str, Box] = {}  # those of running trials, by token
        self._striking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the process. Raises UsageError for what the suite got wrong, InfraError for
        a disk or a port that fails, else HarnessError."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proofrig.rig.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the runner's to handle
            limit=1 << 20,
        )
        self._send(line(self.plan))
        assert self._process.stdout is not None
        first = await self._process.stdout.readline()
        answer = answer_decoder.decode(first) if first else Failed("the rig ended at once")
        if isinstance(answer, Failed):
            await self.close()
            raise ERRORS[answer.kind](answer.message)
        assert isinstance(answer, Ready)
        self.port, self.segment, self.proxies = answer.port, answer.segment, answer.proxies
        self.egress, self.bundle = answer.egress, answer.bundle
        self._reader = asyncio.create_task(self._read())

    async def begin(self, binding: Binding) -> None:
        """Make a trial known. Raises RigLost."""
        await self._ask(Begun, binding.token, line(Begin(binding)))

    async def end(self, token: str) -> Ended:
        """Settle a trial. Raises RigLost."""
        answer = await self._ask(Ended, token, line(End(token)))
        assert isinstance(answer, Ended)
        return answer

    async def close(self) -> None:
        """Let the rig settle, flush and end."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader
        self._process = None

    async def _ask(self, answer: type, token: str, message: bytes) -> Begun | Ended:
        if self._failure is not None:
            raise self._failure
        waiting: asyncio.Future[Begun | Ended] = asyncio.get_running_loop().create_future()
        self._waiting[answer, token] = waiting
        self._send(message)
        return await waiting

    def _send(self, message: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(message)

    async def _strike(self, asked: Strike) -> None:
        """Send a fault's signal into the box of its trial."""
        processes = 0
        if (box := self.boxes.get(asked.token)) is not None:
            with contextlib.suppress(SandboxError):
                processes = await box.signal(asked.signal)
        if self._process is not None:
            self._send(line(Struck(asked.number, processes)))

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        failure = RigLost(
            "the rig process ended while the run was going on; what finished is safe: "
            "`proofrig resume` runs what is missing"
        )
        while raw := await self._process.stdout.readline():
            answer = answer_decoder.decode(raw)
            if isinstance(answer, Failed):
                failure = RigLost(answer.message)
            elif isinstance(answer, (Begun, Ended)):
                waiting = self._waiting.pop((type(answer), answer.token), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
            elif isinstance(answer, Strike):
                task = asyncio.create_task(self._strike(answer))
                self._striking.add(task)
                task.add_done_callback(self._striking.discard)
        self._failure = failure
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(failure)
        self._waiting.clear()
