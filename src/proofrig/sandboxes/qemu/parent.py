"""The parent of QEMU: a small process, run as a script, which starts machines and reaps them.

Standard library only. The runner sends what to start (JSON lines, descriptors passed along), it
answers with pids, and tells how each ended. Rules:
1. Machines end with it (a signal that the kernel sends), and it ends with the runner: the socket to
   the runner is at its end.
2. Before anything is started it moves into an empty network namespace. As root, each machine gets a
   user of its own, without any rights; else it does so in a user namespace, where it may.
3. A machine can gain no rights, has no descriptor but its own, and its memory is in no core file.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
FIRST = 10  # the first descriptor of a machine; `arguments.py` says which is which
HIGH = 200
LIBC = ctypes.CDLL(None, use_errno=True)


def leave_the_network() -> bool:
    """Move into an empty network namespace; False where that may not be."""
    if os.geteuid() == 0:
        return bool(LIBC.unshare(CLONE_NEWNET) == 0)
    user, group = os.geteuid(), os.getegid()
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def start(message: dict[str, Any], fds: list[int]) -> int:
    """Fork a machine; its pid."""
    own = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        become(message, fds, own)
        os.execve(message["program"], message["argv"], message["env"])
    except OSError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(127)


def become(message: dict[str, Any], fds: list[int], parent: int) -> None:
    """Make this process what a machine starts from. Raises OSError. Imports nothing: a machine's
    user may be kept from our files."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    stderr, *given = [fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for fd in fds]
    os.dup2(stderr, 2)
    for place, fd in enumerate(given, start=FIRST):
        os.dup2(fd, place)
    os.closerange(3, FIRST)
    os.closerange(FIRST + len(given), 4096)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    user = message["user"]
    if user:
        os.setgroups(message["groups"])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    LIBC.prctl(
        PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0
    )  # after the change of user, which undoes it
    if os.getppid() != parent:
        os._exit(127)


class Parent:
    """The loop."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.data = b""
        self.fds: list[int] = []
        self.live: dict[int, int] = {}  # pid: key

    def serve(self, wake: int) -> None:
        while True:
            sources: list[Any] = [self.link, wake]
            ready, _, _ = select.select(sources, [], [])
            if wake in ready:
                os.read(wake, 4096)
            self.reap()
            if self.link in ready and not self.receive():
                return

    def receive(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self.link, 1 << 16, 32)
        if not data:
            return False
        self.fds += fds
        *lines, self.data = (self.data + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "kill" in message:
                for pid, key in self.live.items():
                    if key == message["kill"]:
                        os.kill(pid, signal.SIGKILL)
                continue
            taken, self.fds = self.fds[: message["fds"]], self.fds[message["fds"] :]
            pid = start(message, taken)
            for fd in taken:
                os.close(fd)
            self.live[pid] = message["key"]
            self.tell({"key": message["key"], "pid": pid})
        return True

    def reap(self) -> None:
        while self.live:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            self.tell(
                {
                    "key": self.live.pop(pid),
                    "status": os.waitstatus_to_exitcode(status),
                    "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000),
                }
            )

    def tell(self, message: dict[str, Any]) -> None:
        self.link.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    """`parent.py FD`: serve the runner at the other end of the socket FD until it is gone."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    link = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(link.fileno(), False)
    try:
        parent = Parent(link)
        parent.tell({"network": leave_the_network()})
        parent.serve(wake)
    except (BrokenPipeError, ConnectionResetError):
        pass


if __name__ == "__main__":
    main()
