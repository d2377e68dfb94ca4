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
4. What becomes bwrap has first put itself into the box's group (cheap, where to be put there costs
   10 ms), made the box's network, and planted there: so nothing of a box waits for anybody.
5. Nothing here waits but for the kernel; what is large was prepared by the runner. What takes the
   kernel long to let go of (namespaces, packet sockets: 10 ms) another process closes last.
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
    from proofrig.sandboxes import descriptors, keeper, layers, mounts, netns_helper, seccomp_helper
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import descriptors
    import keeper
    import layers
    import mounts
    import netns_helper
    import seccomp_helper

    del sys.path[0]  # its other files have names of modules of the standard library

HEADER = keeper.HEADER
REPLY, OPTIONS, STATUS, FILTER = 3, 4, 5, 6  # descriptors of bwrap and what it starts
CHILD = re.compile(rb'"child-pid": (\d+)\b[^}]*\}')
EXIT = re.compile(rb'"exit-code": (\d+)')
DESCRIPTORS = 64


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
        self.closer, self.closing = start_closer()
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
            ready = [fd for fd, _ in poll.poll()]
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
            message = json.loads(self.data[HEADER.size : HEADER.size + size])
            del self.data[: HEADER.size + size]
            self.obey(message)
        return True

    def let_go(self, fds: list[int]) -> None:
        """Close descriptors whose end the kernel may take its time for."""
        with contextlib.suppress(OSError):  # then they are closed here
            socket.send_fds(self.closing, [b"."], fds)
        for fd in fds:
            os.close(fd)

    def obey(self, message: dict[str, Any]) -> None:
        fds = [self.fds.pop(0) for _ in range(message.get("fds", 0))]
        if "plan" in message:
            self.build(message, socket.socket(fileno=fds[0]))
        elif "drop" in message:
            self.forget(message["box"])
        elif "argv" in message:
            self.start(message, fds)
        elif "close" in message:
            self.let_go(fds)
        elif message["key"] in self.programs:
            self.end(self.programs[message["key"]])

    def build(self, message: dict[str, Any], answer: socket.socket) -> None:
        """Put a box's files together in a mount namespace of its own, and come back."""
        made: list[int] = []
        try:
            mounts.unshare(mounts.CLONE_NEWNS, "a mount namespace")
            try:
                made = layers.Layers(message["plan"], self.users).build()
                self.boxes[message["box"]] = os.open("/proc/self/ns/mnt", os.O_RDONLY)
            finally:
                mounts.join(self.home, mounts.CLONE_NEWNS)
            descriptors.reply(answer, made)
        except OSError as error:
            descriptors.refuse(answer, error)
        finally:
            for fd in made:
                os.close(fd)
            answer.close()

    def forget(self, box: str) -> None:
        if box in self.boxes:
            self.let_go([self.boxes.pop(box)])

    def start(self, message: dict[str, Any], fds: list[int]) -> None:
        program = Program(message, socket.socket(fileno=fds[0]))
        self.programs[program.key] = program
        try:
            program.pid = os.fork()
            if program.pid == 0:
                self.become(message, program, fds[1:])
        except OSError as error:
            descriptors.refuse(program.answer, error)
            program.over, program.status = True, 127
        for fd in (*fds[1:], program.status_end):
            os.close(fd)

    def become(self, message: dict[str, Any], program: Program, stdio: list[int]) -> None:
        """In a new process: rule 4, go to the box's mounts, stop being root, be bwrap. Never
        returns."""
        try:
            os.setsid()
            for file in message["group"]:
                join_group(file)
            planted = netns_helper.begin_here(message["ports"])
            mounts.join(self.boxes[message["box"]], mounts.CLONE_NEWNS)
            os.chdir("/")
            resource.setrlimit(resource.RLIMIT_NOFILE, tuple(message["files"]))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if self.users >= 0:
                os.setgroups([])
                os.setresgid(self.uid, self.uid, self.uid)
                os.setresuid(self.uid, self.uid, self.uid)
            options = descriptors.in_memory(os.fsencode("\0".join(message["options"])))
            wanted = {0: stdio[0], 1: stdio[1], 2: stdio[2], OPTIONS: options}
            wanted[STATUS] = program.status_end
            wanted[FILTER] = descriptors.in_memory(bytes.fromhex(message["filter"]))
            if stdio[3:]:
                wanted[REPLY] = stdio[3]
            descriptors.give(wanted)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; boxes do not
                signal.signal(number, signal.SIG_DFL)
            bwrap: str = message["bwrap"]
            watched = bytes.fromhex(message["watched"])
            listener = seccomp_helper.install_watched(watched)
            descriptors.reply(program.answer, [listener, *planted])
            os.execve(bwrap, [bwrap, "--args", str(OPTIONS), "--", *message["argv"]], {})
        except BaseException as error:
            with contextlib.suppress(OSError):
                descriptors.refuse(program.answer, error)
        finally:
            os._exit(127)

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
            if ours and pid not in known and pid != self.closer:
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
            self.let_go([program.mounts])


def descendants(pid: int) -> list[int]:
    """The living processes below one."""
    return [each for each in keeper.tree(pid)[1:] if keeper.parent_and_state(each)[1] not in "ZX"]


def join_group(file: str) -> None:
    """Put this process into a group. Raises OSError."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, b"0")
    os.close(fd)


def start_closer() -> tuple[int, socket.socket]:
    """A process that closes the descriptors it is sent: its pid, and where to send them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    ours.close()
    with contextlib.suppress(OSError):
        while (came := socket.recv_fds(theirs, 1, DESCRIPTORS))[0]:
            for fd in came[1]:
                os.close(fd)
    os._exit(0)


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
    link = socket.socket(fileno=descriptors.keep_free(int(sys.argv[1]), FILTER + 1))
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
