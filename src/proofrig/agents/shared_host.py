"""The loop of a shared host: N trials at once on the same instances, in one process.

Loaded by `host.py` in the agent's own interpreter: standard library only, Python 3.9+.

Rules:
1. Coroutine functions run as tasks of one event loop; other callables each in a thread. A thread
   whose trial was given up is left behind and does not take the place of another.
2. The trial's identity is a context variable, set before the agent's code runs.
3. Replies of one turn of the loop are written together.
4. A job with a gate is parked here, everything but the agent's first line done.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

IDENTITY = sys.modules["_proofrig_identity"].IDENTITY
ROOT = sys.modules["_proofrig_identity"].ROOT
PARKING = sys.modules["_proofrig_parking"]


class Threads:
    """Runs work in threads, reusing idle ones. As many as trials run at once, and no limit of its
    own: the runner limits trials, and a stuck thread must not."""

    def __init__(self) -> None:
        self.work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.idle = 0
        self.lock = threading.Lock()

    def submit(self, work: Callable[[], None]) -> None:
        with self.lock:
            new = self.idle <= 0
            if not new:
                self.idle -= 1
        self.work.put(work)
        if new:
            threading.Thread(target=self.loop, daemon=True).start()

    def loop(self) -> None:
        while True:
            self.work.get()()
            with self.lock:
                self.idle += 1


@dataclass
class Agent:
    """The user's callable: how to bind a job to it, whether it is a coroutine function, and how
    many characters of an answer are kept. prepare: the callable's own coroutine function of that
    name, run before the agent is parked; what it returns is the agent's argument `prepared`."""

    function: Callable[..., Any]
    bind: Callable[[dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]
    coroutine: bool
    cap: int
    prepare: Callable[..., Any] | None = None
    prepare_bind: Any = None


class Serving:
    """Takes jobs, runs them, writes replies. `host` is the module `host.py`."""

    def __init__(self, agent: Agent, host: Any, reply_fd: int) -> None:
        self.agent = agent
        self.host = host
        self.reply_fd = reply_fd
        self.data = b""
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.parked: set[int] = set()
        self.threads = Threads()
        self.out: list[bytes] = []
        self.loop = asyncio.new_event_loop()
        self.gates = PARKING.Gates(self.loop)

    def run(self, stdin: int, begun: bytes) -> None:
        """Serve until `stdin` ends; `begun` is what has been read of it already."""
        asyncio.set_event_loop(self.loop)
        os.set_blocking(stdin, False)
        self.loop.add_reader(stdin, self.read, stdin)
        self.loop.call_soon(self.take, begun)
        while True:
            # SystemExit from a task the agent left behind: the others go on
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()

    def read(self, stdin: int) -> None:
        try:
            data = os.read(stdin, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self.flush()
            if "_proofrig_observing" in sys.modules:
                sys.modules["_proofrig_observing"].close()
            os._exit(0)
        self.take(data)

    def take(self, data: bytes) -> None:
        lines = (self.data + data).split(b"\n")
        self.data = lines.pop()
        for line in lines:
            job = json.loads(line)
            if "cancel" in job:
                self.parked.discard(job["cancel"])
                task = self.tasks.get(job["cancel"])
                if task is not None:
                    task.cancel()
            elif self.agent.coroutine:
                self.tasks[job["i"]] = self.loop.create_task(self.run_task(job))
            elif job.get("gate"):
                self.parked.add(job["i"])
                self.park(job, functools.partial(self.begin_parked, job))
            else:
                self.threads.submit(functools.partial(self.run_thread, job))

    def park(self, job: dict[str, Any], go: Callable[[], None]) -> None:
        """Call `go` when it is time for the job to start."""
        self.gates.park(job["gate"], job.get("at", 0), go)
        self.reply(self.host.encode({"i": job["i"], "p": True}))

    def begin_parked(self, job: dict[str, Any]) -> None:
        """Its gate was released; a job that was cancelled meanwhile is not begun."""
        if job["i"] in self.parked:
            self.parked.remove(job["i"])
            self.threads.submit(functools.partial(self.run_thread, job))

    async def parked_task(self, job: dict[str, Any]) -> None:
        """Wait until it is time for the job to start."""
        due = self.loop.create_future()
        self.park(job, lambda: None if due.done() else due.set_result(None))
        await due

    async def run_task(self, job: dict[str, Any], pending: Any = None) -> None:
        IDENTITY.set((job["token"], job["trial"]))
        ROOT.set(asyncio.current_task())
        try:
            if pending is None:
                if self.agent.prepare is not None:
                    args, kwargs = self.agent.prepare_bind(job)
                    job["prepared"] = await self.agent.prepare(*args, **kwargs)
                if job.get("gate"):
                    await self.parked_task(job)
                job["started"] = time.monotonic_ns()
                args, kwargs = self.agent.bind(job)
                pending = self.agent.function(*args, **kwargs)
            reply = self.host.answered(job, await pending, self.agent.cap)
        except BaseException as error:
            reply = self.host.failed(job, error)
        reply["s"] = job.get("started", 0)
        self.tasks.pop(job["i"], None)
        self.reply(self.host.encode(reply))

    def run_thread(self, job: dict[str, Any]) -> None:
        IDENTITY.set((job["token"], job["trial"]))
        ROOT.set(threading.current_thread())
        started = job["started"] = time.monotonic_ns()
        try:
            args, kwargs = self.agent.bind(job)
            value = self.agent.function(*args, **kwargs)
            if hasattr(value, "__await__"):
                self.loop.call_soon_threadsafe(self.adopt, job, value)
                return
            reply = self.host.answered(job, value, self.agent.cap)
        except BaseException as error:
            reply = self.host.failed(job, error)
        finally:
            IDENTITY.set(None)
        line = self.host.encode(dict(reply, s=started))
        self.loop.call_soon_threadsafe(self.reply, line)

    def adopt(self, job: dict[str, Any], pending: Any) -> None:
        """A plain function gave back something to await: do that in the loop."""
        self.tasks[job["i"]] = self.loop.create_task(self.run_task(job, pending))

    def reply(self, line: bytes) -> None:
        self.out.append(line)
        if len(self.out) == 1:
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        data, self.out = b"".join(self.out), []
        self.host.write(self.reply_fd, data)
