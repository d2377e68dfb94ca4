"""The parent of all boxes of the `namespace` level: holds their mounts, starts their programs.

Run as a script by the runner's interpreter; standard library only. The runner sends it messages as
it does to `keeper.py`: a header with the length, then JSON, descriptors passed along.

    {"box": B, "plan": {...}}               put a box's files together (`layers.py`). 1 descriptor:
                                            a socket for the answer
    {"box": B, "drop": true}                forget it
    {"key": K, "box": B, "options": [...], "argv": [...], "ports": [...], "group": [...], ...}
                                            start a program in it. Descriptors: the socket for the
                                            answers, standard input, output, error, reply
    {"key": K}                              kill it
    {"close": true}                         close the descriptors that come with it

Answers on a socket are "." with descriptors, or "!" with a reason. For a program there are two: the
listener of its filter (`seccomp_helper.py`) with the watch and the listeners in its network
(`netns_helper.py`), and then a pidfd of the first process of its PID namespace. It begins when the
first calls that the filter holds have been answered; how it ended is reported on the link.

Rules:
1. It is the first process of a PID namespace, so that no box outlives it, however it ends. With a
   parent that reaps all, what a command left can be counted before it is killed.
2. Each box has a mount namespace that a descriptor here keeps. So nothing is mounted outside, and
   when this process is gone all mounts are, and the loop devices below them.
3. A program has ended when the first process of its namespace is reaped: then nothing of it lives.
4. Nothing here waits but for the kernel; what is large was prepared by the runner. What takes the
   kernel long to let go of (namespaces, packet sockets: 10 ms) another process closes last.
5. With nothing to do for a moment, what the next box needs is made (`spares.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import sys
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from proofrig.sandboxes import descriptors, keeper, layers, mounts, spares
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import descriptors
    import keeper
    import layers
    import mounts
    import spares

    del sys.path[0]  # its other files have names of modules of the standard library

HEADER = keeper.HEADER
CHILD = re.compile(rb'"child-pid": (\d+)\b[^}]*\}')
EXIT = re.compile(rb'"exit-code": (\d+)')
DESCRIPTORS = 64
IDLE_MS = 10  # without anything to do


class Program:
    """One bwrap (`pid`), and the first process of its namespace (`first`), once that is known."""

    def __init__(self, message: dict[str, Any], answer: socket.socket) -> None:
        self.key: int = message["key"]
        self.answer = answer
        self.pid = 0
        self.first = 0
        self.mounts = -1
        self.status_fd, self.status_end = os.pipe()
        os.set_blocking(self.status_fd, False)
        self.said = b""
        self.over = False
        self.killed = False
        self.status = 0
        self.strays = 0
        self.rss = 0
        self.cpu_s = 0.0

    def count(self, usage: resource.struct_rusage) -> None:
        self.rss = max(self.rss, usage.ru_maxrss * 1024)
        self.cpu_s += usage.ru_utime + usage.ru_stime

    def close(self) -> None:
        self.answer.close()
        os.close(self.status_fd)


class Keeper:
    """The loop: put together, start, reap, report."""

    def __init__(self, link: socket.socket, uid: int) -> None:
        self.link = link
        self.uid = uid
        self.home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        self.users = mounts.user_map(uid) if uid != os.getuid() else -1
        self.boxes: dict[str, int] = {}  # descriptors of mount namespaces
        self.programs: dict[int, Program] = {}
        self.spares = spares.Spares(uid if self.users >= 0 else -1)
        self.data = bytearray()
        self.fds: list[int] = []
        self.wake, wake_write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        while True:
            talking = {p.status_fd: p for p in self.programs.values() if not p.over}
            poll = select.poll()
            for fd in (self.link.fileno(), self.wake, *talking):
                poll.register(fd, select.POLLIN)
            ready = [fd for fd, _ in poll.poll(None if self.spares.are_ready() else IDLE_MS)]
            if not ready:
                self.spares.get_ready()
            if self.wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake, 4096)
            for fd in ready:
                if fd in talking:
                    self.listen(talking[fd])
            if self.link.fileno() in ready and not self.receive():
                return
            self.reap()

    def receive(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self.link, 1 << 16, DESCRIPTORS)
        if not data:
            return False
        self.data += data
        for fd in fds:
            os.set_inheritable(fd, False)  # a box that starts meanwhile must not get it
        self.fds += fds
        while len(self.data) >= HEADER.size:
            (size,) = HEADER.unpack_from(self.data)
            if len(self.data) < HEADER.size + size:
                break
            data = bytes(self.data[HEADER.size : HEADER.size + size])
            del self.data[: HEADER.size + size]
            self.obey(json.loads(data), data)
        return True

    def obey(self, message: dict[str, Any], data: bytes) -> None:
        fds = [self.fds.pop(0) for _ in range(message.get("fds", 0))]
        if "plan" in message:
            self.build(message, socket.socket(fileno=fds[0]))
        elif "drop" in message:
            self.forget(message["box"])
        elif "argv" in message:
            self.start(message, data, fds)
        elif "close" in message:
            self.spares.let_go(fds)
        elif message["key"] in self.programs:
            self.end(self.programs[message["key"]])

    def build(self, message: dict[str, Any], answer: socket.socket) -> None:
        """Put a box's files together in a mount namespace of its own, and come back."""
        made: list[int] = []
        try:
            mounts.unshare(mounts.CLONE_NEWNS, "a mount namespace")
            try:
                plan = message["plan"]
                made = layers.Layers(plan, self.users, self.spares.volume(plan["room"])).build()
                self.boxes[message["box"]] = os.open("/proc/self/ns/mnt", os.O_RDONLY)
            finally:
                mounts.join(self.home, mounts.CLONE_NEWNS)
            descriptors.reply(answer, made)
        except OSError as error:
            with contextlib.suppress(OSError):  # nobody waits for it any more
                descriptors.refuse(answer, error)
        finally:
            for fd in made:
                os.close(fd)
            answer.close()

    def forget(self, box: str) -> None:
        if box in self.boxes:
            self.spares.let_go([self.boxes.pop(box)])

    def start(self, message: dict[str, Any], data: bytes, fds: list[int]) -> None:
        program = Program(message, socket.socket(fileno=fds[0]))
        self.programs[program.key] = program
        given = [program.answer.fileno(), self.boxes[message["box"]], program.status_end, *fds[1:]]
        try:
            program.pid = self.spares.become(data, given)
        except OSError as error:
            descriptors.refuse(program.answer, error)
            program.over, program.status = True, 127
        for fd in (*fds[1:], program.status_end):
            os.close(fd)

    def listen(self, program: Program) -> None:
        """What bwrap says: who is the first process of the box, then how the command ended."""
        try:
            data = os.read(program.status_fd, 4096)
        except BlockingIOError:
            return
        if not data:
            program.over = True
            return
        program.said += data
        if not program.first and (found := CHILD.search(program.said)):
            program.first = int(found[1])
            self.introduce(program)

    def introduce(self, program: Program) -> None:
        """Tell the runner who the first process is, as it may count otherwise."""
        with contextlib.suppress(OSError):
            program.mounts = os.open(f"/proc/{program.first}/ns/mnt", os.O_RDONLY)
        pidfd = os.pidfd_open(program.first)
        with contextlib.suppress(OSError):
            descriptors.reply(program.answer, [pidfd])
        os.close(pidfd)

    def end(self, program: Program) -> None:
        """bwrap first: it reaps no more, so that the other pid stays the box's until we reap it."""
        if program.first and not program.killed:
            program.strays = max(0, len(descendants(program.first)) - 1)  # the command is none
        program.killed = True
        for pid in (program.pid, program.first):
            if pid:
                keeper.kill(pid)

    def reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self.spares.reaped(pid)
            for program in self.programs.values():
                if pid == program.pid:
                    program.pid, program.status = 0, os.waitstatus_to_exitcode(status)
                    program.count(usage)
                    self.listen(program)
                    self.leave(program)
                elif pid == program.first:
                    program.first = 0
                    program.count(usage)
        for program in [p for p in self.programs.values() if not p.pid and not p.first]:
            self.report(program)

    def leave(self, program: Program) -> None:
        """The command has ended: what it left behind is counted and killed."""
        if not program.first:
            self.end_unknown()
            return
        try:
            if os.waitid(os.P_PID, program.first, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return  # it ends by itself, and is reaped soon
        except ChildProcessError:
            program.first = 0  # bwrap has reaped it
            return
        if not program.killed:
            program.strays = len(descendants(program.first))
        keeper.kill(program.first)

    def end_unknown(self) -> None:
        """bwrap was killed before it named the first process of its box: that is ours now."""
        known = {pid for p in self.programs.values() for pid in (p.pid, p.first)}
        for pid in keeper.processes():
            ours = keeper.parent_and_state(pid)[0] == os.getpid()
            if ours and pid not in known and pid not in self.spares.pids():
                keeper.kill(pid)

    def report(self, program: Program) -> None:
        del self.programs[program.key]
        # bwrap itself may be what the kernel kills when memory runs out
        ran = EXIT.search(program.said) is not None or (program.status < 0 and program.mounts >= 0)
        message = {"key": program.key, "status": program.status, "ran": ran}
        message |= {"rss": program.rss, "cpu_ms": round(program.cpu_s * 1000)}
        program.close()
        say(self.link, {**message, "strays": program.strays})
        if program.mounts >= 0:
            self.spares.let_go([program.mounts])


def descendants(pid: int) -> list[int]:
    """The living processes below one."""
    return [each for each in keeper.tree(pid)[1:] if keeper.parent_and_state(each)[1] not in "ZX"]


def say(link: socket.socket, message: dict[str, Any]) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def enter(uid: int) -> None:
    """Namespaces of our own for users (without root), mounts and processes."""
    flags = mounts.CLONE_NEWNS | mounts.CLONE_NEWPID
    if os.getuid() == 0:
        mounts.unshare(flags, "namespaces for mounts and processes")
    else:
        gid = os.getgid()
        mounts.unshare(flags | mounts.CLONE_NEWUSER, "a user namespace")
        for kind, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{kind}", "w") as file:
                file.write(text)
    mounts.make_private()


def main() -> None:
    """`bubblewrap_keeper.py FD UID`: serve the runner at the other end of the socket FD until it is
    gone. UID: the user of boxes."""
    link = socket.socket(fileno=descriptors.keep_free(int(sys.argv[1]), descriptors.FILTER + 1))
    uid = int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # a handler: ignoring would be inherited by boxes
    try:
        enter(uid)
        first = os.fork()
    except OSError as error:
        say(link, {"lost": str(error)})
        return
    if first:
        link.close()
        os.waitpid(first, 0)
        return
    mounts.die_with_parent(signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        mounts.mount("proc", "/proc")
        boxes = Keeper(link, uid)
    except OSError as error:
        say(link, {"lost": str(error)})
        return
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        boxes.serve()


if __name__ == "__main__":
    main()
