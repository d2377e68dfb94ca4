"""The runner's side of the parent of boxes (`bubblewrap_keeper.py`): what it is asked to do.

Rules:
1. What bwrap is told goes through a file in memory: an environment on a command line could be read
   by everybody on the host.
2. A program that cannot be found in the box is told before it is started, with its name; what
   bwrap itself cannot do is a SandboxError, and never taken for the program's own end.
3. bwrap says 128 + number of a command that a signal ended, as shells do; it is told as a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import stat
from collections.abc import Coroutine, Mapping
from typing import Any, Literal, NamedTuple

from proofrig.errors import SandboxError
from proofrig.sandboxes import bubblewrap_keeper, descriptors, mounts
from proofrig.sandboxes.box_files import BoxFiles
from proofrig.sandboxes.keeping import KeeperLink, KeptProgram
from proofrig.sandboxes.sandbox import REPLY_FD, Command

SIGNALS = {128 + number: -number for number in signal.valid_signals()}
DESCRIPTORS = 64
ANSWER = 4096
HOST_NAME = "box"
FOUND = os.O_PATH
PID = re.compile(rb"^Pid:\s*(-?\d+)", re.MULTILINE)


def options(command: Command, files: BoxFiles, *, reply: bool) -> list[str]:
    """bwrap's options for a command in a box. Its network is there already."""
    at, ids = files.at, files.ids
    in_dev = [word for path in files.in_dev for word in ("--bind", f"{at}/root{path}", path)]
    env = dict(command.env)
    if reply:
        env[REPLY_FD] = str(descriptors.REPLY)
    variables = [word for name, value in env.items() for word in ("--setenv", name, value)]
    return [
        *("--unshare-all", "--share-net", "--unshare-user", "--disable-userns", "--new-session"),
        *("--uid", str(ids[0]), "--gid", str(ids[1]), "--hostname", HOST_NAME),
        *("--bind", f"{at}/root", "/", "--proc", "/proc", "--dev", "/dev"),
        *("--bind", f"{at}/volume/shm", "/dev/shm", *in_dev, "--remount-ro", "/dev"),
        *("--chdir", command.cwd, "--clearenv", *variables),
        *("--seccomp", str(descriptors.FILTER)),
        *("--json-status-fd", str(descriptors.STATUS)),
    ]


def missing(root: int, command: Command) -> str:
    """Why a command cannot be started in the box with this root; "" when it can."""
    if kind_at(root, command.cwd) != "folder":
        return f"the box has no folder {command.cwd}"
    program = command.argv[0]
    if "/" in program:
        paths = [os.path.join(command.cwd, program)]
    else:
        search = command.env.get("PATH", os.defpath).split(":")
        paths = [os.path.join(command.cwd, folder, program) for folder in search]
    if any(path.startswith(("/proc/", "/dev/")) for path in paths):
        return ""  # these are there only when it runs
    if not any(kind_at(root, path) == "program" for path in paths):
        return f"the box has no program {program!r}"
    return ""


def kind_at(root: int, path: str) -> Literal["", "file", "program", "folder"]:
    """What the box has at a path."""
    try:
        found = mounts.inside(root, path, FOUND)
    except OSError:
        return ""
    mode = os.fstat(found).st_mode
    os.close(found)
    if stat.S_ISDIR(mode):
        return "folder"
    return "program" if stat.S_ISREG(mode) and mode & 0o111 else "file"


class BoxLink(KeeperLink):
    """The runner's end of the socket to the parent of boxes."""

    def __init__(self, uid: int) -> None:
        super().__init__(bubblewrap_keeper.__file__, str(uid))
        self.reason = ""
        self.keys = itertools.count(1)

    def tell(self, report: dict[str, Any]) -> None:
        if "lost" in report:
            self.reason = report["lost"]
            return
        program = self.boxes.get(report["key"])
        status: int = report["status"]
        if program is None:
            return
        if report["ran"] or program.stopped or program.timed_out:
            super().tell({**report, "status": SIGNALS.get(status, status)})
            return
        del self.boxes[report["key"]]
        if not program.ended.done():
            program.ended.set_exception(could_not_start(program))
            program.ended.exception()  # nobody may be waiting; that is no news

    def build(self, box: str, plan: Mapping[str, object]) -> Coroutine[Any, Any, list[int]]:
        """Have a box's files put together, from now on; to be awaited for the descriptors, which
        are as `layers.Layers.build` says."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.send({"box": box, "plan": plan, "fds": 1}, [theirs.detach()])
        return self._built(ours)

    async def _built(self, ours: socket.socket) -> list[int]:
        with ours:
            return await self.answer(ours)

    def forget(self, box: str) -> None:
        if not self.lost:
            self.send({"box": box, "drop": True}, [])

    def begin(self, program: KeptProgram, message: Mapping[str, object]) -> Beginning:
        """Start a command, up to where its filter asks for answers."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.boxes[program.key] = program
        fds = [theirs.detach(), *program.pipes.theirs]
        self.send({"key": program.key, "fds": len(fds), **message}, fds)
        return Beginning(self, program, ours)

    async def failure(self, program: KeptProgram, error: BaseException) -> BaseException:
        """End what could not begin; the error, with what bwrap said."""
        program.kill()
        if not isinstance(error, SandboxError):
            return error
        with contextlib.suppress(SandboxError):
            await asyncio.shield(program.ended)
        return SandboxError(f"{could_not_start(program)} ({error})", definite=True)

    def let_go(self, fd: int) -> None:
        """Close a descriptor whose end the kernel takes its time for."""
        if self.lost:
            os.close(fd)
        else:
            self.send({"close": True, "fds": 1}, [fd])

    async def answer(self, ours: socket.socket) -> list[int]:
        """The descriptors that come on a socket. Raises SandboxError with the reason instead."""
        ready: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_reader(ours.fileno(), _set, ready)
        try:
            await ready
            said, fds, _, _ = socket.recv_fds(ours, ANSWER, DESCRIPTORS)
        finally:
            self.loop.remove_reader(ours.fileno())
        if said == b".":
            return list(fds)
        reason = said[1:].decode(errors="replace").partition(" ")[2]
        raise SandboxError(reason or self.reason or "bwrap ended at once", definite=True)


class Beginning(NamedTuple):
    """A command on its way. What it tells is asked for in this order, then it is closed. Both raise
    SandboxError when there is no going on."""

    link: BoxLink
    program: KeptProgram
    socket: socket.socket

    async def made(self) -> tuple[int, list[int]]:
        """The descriptor that `calls.Calls` reads, for whose answers bwrap waits from now on; and
        those of its watch and listeners, as `netns.Planted.of` takes them."""
        fd, *network = await self._answer()
        return fd, network

    async def pid(self) -> int:
        """The first process of its PID namespace, as we count; 0 when it has ended already."""
        (pidfd,) = await self._answer()
        try:
            return _pid_of(pidfd)
        finally:
            os.close(pidfd)

    async def _answer(self) -> list[int]:
        try:
            return await self.link.answer(self.socket)
        except BaseException as error:
            raise await self.link.failure(self.program, error) from None


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def could_not_start(program: KeptProgram) -> SandboxError:
    said = bytes(program.pipes.stderr.kept).decode(errors="replace").strip()
    return SandboxError(
        f"cannot start {program.command.argv[0]!r} in {program.command.cwd}: "
        f"{said or 'bwrap did not say why'}",
        definite=True,
    )


def _pid_of(pidfd: int) -> int:
    """The pid, as we count, of a process that another namespace counts otherwise."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb", buffering=0) as file:
        found = PID.search(file.read(ANSWER))
    return max(0, int(found[1])) if found else 0
