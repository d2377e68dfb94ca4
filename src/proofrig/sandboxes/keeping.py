"""The runner's side of a keeper: what it starts, and how that ended.

Programs are started by the keeper (`keeper.py`), one small process per sandbox. This side holds
the other ends of the pipes.

Rules:
1. Nothing here blocks the event loop, and no thread is made.
2. When the keeper itself is lost, its programs are hunted by their markers, their trials get a
   SandboxError, and the next program starts a new keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proofrig.errors import SandboxError
from proofrig.sandboxes import keeper
from proofrig.sandboxes.pipes import Pipes
from proofrig.sandboxes.sandbox import REPLY_FD, Command, Exit

RECEIVE_BYTES = 1 << 16
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)  # as the runner was started


def sweep(*markers: str) -> int:
    """Kill every process whose environment carries one of the markers; returns how many.

    For what an earlier runner left behind. Processes that are gone meanwhile do not count.
    """
    return send(signal.SIGKILL, *markers)


def halt(*markers: str) -> int:
    """Stop (SIGSTOP) the processes that `sweep` would kill; returns how many."""
    return send(signal.SIGSTOP, *markers)


def send(number: int, *markers: str) -> int:
    """Send a signal to the processes that `sweep` would kill; returns how many got it."""
    found = [
        pid
        for pid in keeper.processes()
        if pid != os.getpid() and any(keeper.carries(pid, marker) for marker in markers)
    ]
    sent = 0
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            sent += 1
    return sent


@dataclass
class KeptProgram:
    """One started command. `pid` is its leader's, which is also its session's."""

    key: int
    command: Command
    link: KeeperLink
    pipes: Pipes
    pid: int = 0
    timed_out: bool = False
    stopped: bool = False
    started: asyncio.Future[int] = field(default_factory=lambda: _future())
    ended: asyncio.Future[dict[str, Any]] = field(default_factory=lambda: _future())
    timer: asyncio.TimerHandle | None = None
    exit: Exit | None = None

    def send(self, data: bytes) -> None:
        if self.pipes.feed is not None:
            self.pipes.feed.send(data)

    def kill(self) -> None:
        if not self.ended.done():
            self.stopped = True
            self.link.send({"key": self.key}, [])

    def expire(self) -> None:
        if not self.ended.done():
            self.timed_out = True
            self.link.send({"key": self.key}, [])

    async def wait(self) -> Exit:
        try:
            report = await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            self.kill()
            with contextlib.suppress(SandboxError):
                await asyncio.shield(self.ended)
            self.close()
            raise
        except SandboxError:
            self.close()
            raise
        if self.exit is None:
            self.exit = self.describe(report)
        return self.exit

    def describe(self, report: dict[str, Any]) -> Exit:
        stdout, stderr, reply = self.close()
        status: int = report["status"]
        return Exit(
            code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            timed_out=self.timed_out,
            stopped=self.stopped,
            stdout=stdout,
            stderr=stderr,
            stdout_bytes=self.pipes.stdout.total,
            reply=reply,
            reply_bytes=self.pipes.reply.total if self.pipes.reply else 0,
            max_rss_bytes=report["rss"],
            cpu_ms=report["cpu_ms"],
            strays=report["strays"],
        )

    def close(self) -> tuple[bytes, bytes, bytes]:
        if self.timer is not None:
            self.timer.cancel()
        return self.pipes.finish()


class Keeping:
    """Starts programs through a keeper, which starts with the first of them."""

    def __init__(self) -> None:
        self._link: KeeperLink | None = None
        self._keys = 0

    async def launch(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> KeptProgram:
        """Start a command; see `sandbox.Box.exec`."""
        link = self._link
        if link is None or link.lost:
            link = self._link = KeeperLink()
        self._keys += 1
        try:
            pipes = Pipes.open(command, keep_stdin=keep_stdin, on_reply=on_reply)
        except OSError as error:
            raise SandboxError(
                f"no pipes for {command.argv[0]!r}: {error}; lower the concurrency or raise the "
                "limit of open files (ulimit -n)",
                definite=True,
            ) from None
        box = KeptProgram(self._keys, command, link, pipes)
        link.start(box)
        try:
            box.pid = await asyncio.shield(box.started)
        except OSError as error:
            box.close()
            raise SandboxError(
                f"cannot start {command.argv[0]!r} in {command.cwd}: {error}; "
                "check that the program and the directory exist and can be used",
                definite=True,
            ) from None
        except BaseException:
            box.kill()
            box.close()
            raise
        if command.deadline_s is not None:
            box.timer = asyncio.get_running_loop().call_later(command.deadline_s, box.expire)
        return box

    async def close(self) -> None:
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()


class KeeperLink:
    """The runner's end of the socket to one keeper process: `script`, with these arguments."""

    def __init__(self, script: str = keeper.__file__, *arguments: str) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", script, str(theirs.fileno()), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.socket.setblocking(False)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, FILES)
        allow_many_files()
        self.loop = asyncio.get_running_loop()
        self.boxes: dict[int, KeptProgram] = {}
        self.out: deque[tuple[bytes, list[int]]] = deque()
        self.data = b""
        self.lost = False
        self.loop.add_reader(self.socket.fileno(), self.receive)

    def start(self, box: KeptProgram) -> None:
        command = box.command
        self.boxes[box.key] = box
        fds = box.pipes.theirs
        self.send(
            {
                "key": box.key,
                "argv": command.argv,
                "env": command.env,
                "cwd": command.cwd,
                "marker": command.marker,
                "reply_fd": REPLY_FD,
                "fds": len(fds),
            },
            fds,
        )

    def send(self, message: dict[str, Any], fds: list[int]) -> None:
        """Queue a message; `fds` are closed here once the keeper has them."""
        data = json.dumps(message).encode()
        self.out.append((keeper.HEADER.pack(len(data)) + data, fds))
        if len(self.out) == 1:
            self.flush()

    def flush(self) -> None:
        try:
            while self.out:
                data, fds = self.out.popleft()
                try:
                    sent = socket.send_fds(self.socket, [data], fds)
                except BlockingIOError:
                    self.out.appendleft((data, fds))
                    self.loop.add_writer(self.socket.fileno(), self.flush)
                    return
                _close(fds)
                if sent < len(data):
                    self.out.appendleft((data[sent:], []))
            self.loop.remove_writer(self.socket.fileno())
        except OSError:  # `receive` will notice that the keeper is gone
            _close(fds)

    def receive(self) -> None:
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self.lose()
            return
        *lines, self.data = (self.data + data).split(b"\n")
        for line in lines:
            self.tell(json.loads(line))

    def tell(self, report: dict[str, Any]) -> None:
        if "pid" in report:
            _set(self.boxes[report["key"]].started, report["pid"])
            return
        box = self.boxes.pop(report["key"])
        if "error" in report:
            error = OSError(report["error"])
            if not box.started.done():
                box.started.set_exception(error)
            _set(box.ended, {"status": 127, "rss": 0, "cpu_ms": 0, "strays": 0})
        else:
            _set(box.ended, report)

    def lose(self) -> None:
        """The keeper is gone: hunt what it kept, and say so to every box."""
        self.disconnect()
        boxes, self.boxes = list(self.boxes.values()), {}
        markers = [box.command.marker for box in boxes if box.command.marker]
        if markers:
            sweep(*markers)
        for box in boxes:
            for future in (box.started, box.ended):
                if not future.done():
                    future.set_exception(
                        SandboxError(
                            f"the keeper of the process boxes ended (exit code "
                            f"{self.process.returncode}) while {box.command.argv[0]!r} ran"
                        )
                    )
                    future.exception()  # nobody may be waiting; that is no news

    async def close(self) -> None:
        """End every box, then the keeper."""
        if self.lost:
            return
        for box in self.boxes.values():
            box.kill()
        waiting = [box.ended for box in self.boxes.values()]
        if waiting:
            await asyncio.wait(waiting)
        self.disconnect()

    def disconnect(self) -> None:
        """Hang up; the keeper ends by that, and quickly."""
        self.lost = True
        self.loop.remove_reader(self.socket.fileno())
        self.loop.remove_writer(self.socket.fileno())
        self.socket.close()
        for _, fds in self.out:
            _close(fds)
        self.out.clear()
        self.process.wait()


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def allow_many_files() -> None:
    """Use what the hard limit allows: a box costs this process three or four descriptors, and an
    agent the rig and the provider, which inherit it, a connection or more. The keeper, and so the
    boxes, keep the limit the runner was started with."""
    soft, hard = FILES
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _set(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)
