"""The interpreters that clients run in, from the side that asks.

Rules:
1. A worker imports its libraries once; each ask runs in a process of its own, which is killed when
   its time is up.
2. A worker's environment is that of a trial: no key of the caller's reaches it, nothing is phoned
   home.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from proofrig.agents.environment import EnvironmentSettings, trial_environment

PROGRAM = Path(__file__).with_name("worker.py").absolute()
_READY_S = 120.0  # to import a framework, on a busy machine


class Told(msgspec.Struct, kw_only=True):
    """What came of an ask. text: what the client's user sees, None when there is none. error: the
    class of what it raised, with its library in `module`; grouped: inside an ExceptionGroup. ran:
    the arguments of each run of the tool. late: it was killed when its time was up; killed: by a
    signal before."""

    text: str | None = None
    error: str = ""
    module: str = ""
    grouped: bool = False
    words: str = ""
    ran: list[dict[str, Any]] = []
    late: bool = False
    killed: bool = False


class Worker:
    """One interpreter with one file of clients."""

    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        self.module = module
        self.versions: dict[str, str] = {}
        self._process = process
        self._asks: dict[int, asyncio.Queue[dict[str, Any]]] = {0: asyncio.Queue()}
        self._next = 1
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, interpreter: Path, module: str) -> Worker:
        """Raises TimeoutError when its libraries are not imported in time."""
        process = await asyncio.create_subprocess_exec(
            str(interpreter),
            str(PROGRAM),
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=trial_environment(EnvironmentSettings(port=9, token="nobody")),
        )
        worker = cls(module, process)
        ready = await asyncio.wait_for(worker._asks[0].get(), _READY_S)
        if "versions" not in ready:
            raise RuntimeError(f"expected {module} to say its versions, got {ready}")
        worker.versions = ready["versions"]
        return worker

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = msgspec.json.decode(line)
            queue = self._asks.get(told["id"])
            if queue is not None:
                queue.put_nowait(told)
        for queue in self._asks.values():
            queue.put_nowait({"error": "WorkerEnded", "module": self.module, "end": 0})

    async def ask(
        self,
        function: str,
        environment: Mapping[str, str],
        told: dict[str, Any],
        *,
        limit_s: float,
        began: Callable[[int], None],
    ) -> Told:
        """Run a client's function; `began` gets the id of its process."""
        number, self._next = self._next, self._next + 1
        queue = self._asks[number] = asyncio.Queue()
        ask = {"id": number, "function": function, "env": dict(environment), "told": told}
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(ask) + b"\n")
        try:
            return await _until_end(queue, limit_s, began)
        finally:
            del self._asks[number]

    async def close(self) -> None:
        """End it; what still runs in it is killed with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 10)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self._reader


async def _until_end(
    queue: asyncio.Queue[dict[str, Any]], limit_s: float, began: Callable[[int], None]
) -> Told:
    result, pid = Told(), 0
    clock = asyncio.get_running_loop().time
    until: float | None = None  # counted from when it began
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), None if until is None else until - clock())
        except TimeoutError:
            until = None
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
                result.late = True
            continue
        if "pid" in event:
            pid, until = event["pid"], clock() + limit_s
            began(pid)
        if "ran" in event:
            result.ran.append(event["ran"])
        if "text" in event:
            result.text = event["text"]
        if "error" in event:
            result.error, result.module = event["error"], event["module"]
            result.words, result.grouped = event.get("words", ""), event.get("grouped", False)
        if "end" in event:
            result.killed = bool(event["end"]) and not result.late
            return result
