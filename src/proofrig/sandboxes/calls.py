"""Sees the system calls that a box is refused, through the listener of `seccomp.watched_program`.

Rules:
1. A call is always refused; the box waits for the answer, so one that tries very much is slowed
   down by the pauses of its reader and costs the runner little.
2. What makes a box (bwrap) makes user namespaces itself, a known number of times, before anything
   of the trial runs: these go on, and are not counted.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import platform
import select
import struct
from collections import Counter

from proofrig.sandboxes import seccomp
from proofrig.sandboxes.sandbox import Refused

RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTICE, ANSWER = struct.Struct("=QIIiIQQ24x8x8x"), struct.Struct("=QqiI")
GO_ON = 1
PORTION, PAUSE_S = 64, 0.02
FAMILIES = {
    15: "key",
    16: "netlink",
    17: "packet",
    31: "bluetooth",
    38: "alg",
    40: "vsock",
    44: "xdp",
}


class Calls:
    """Refuses and counts. Made on the event loop that reads it; owns the descriptor.

    own: user namespaces that the box's maker makes itself, after it has this filter.
    """

    def __init__(self, fd: int, own: int = 0) -> None:
        self.fd = fd
        os.set_inheritable(fd, False)  # what was received can be inherited
        self.own = own
        self.seen: Counter[str] = Counter()
        self.loop = asyncio.get_running_loop()
        self.pause: asyncio.TimerHandle | None = None
        machine = platform.machine()
        self.errors = {number: (name, error) for name, number, error in seccomp.named(machine)}
        self.sockets = seccomp.SOCKET[machine]
        self.poll = select.poll()
        self.poll.register(fd, select.POLLIN)
        self.listen()

    def listen(self) -> None:
        self.pause = None
        self.loop.add_reader(self.fd, self.read)

    def read(self) -> None:
        for _ in range(PORTION):
            ready = self.poll.poll(0)
            if not ready:
                return
            if not ready[0][1] & select.POLLIN:  # no process has the filter any more
                self.loop.remove_reader(self.fd)
                return
            self.take()
        self.loop.remove_reader(self.fd)
        self.pause = self.loop.call_later(PAUSE_S, self.listen)

    def take(self) -> None:
        """Answer one call. What was asked for by a process that died meanwhile is passed over."""
        notice = bytearray(NOTICE.size)
        try:
            fcntl.ioctl(self.fd, RECEIVE, notice)
            key, _, _, number, _, _, first = NOTICE.unpack(notice)
            error = self.judge(number, first)
            answer = ANSWER.pack(key, 0, -error, 0 if error else GO_ON)
            fcntl.ioctl(self.fd, SEND, answer)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.EINTR):
                raise

    def judge(self, number: int, first: int) -> int:
        """Count a call; the error it fails with, 0 where it goes on. `first`: its argument."""
        if number in self.errors:
            name, error = self.errors[number]
        elif number in self.sockets:
            family = first & 0xFFFFFFFF
            name, error = f"socket {FAMILIES.get(family, family)}", errno.EAFNOSUPPORT
        elif self.own:
            self.own -= 1
            return 0
        else:
            name, error = "unshare user", errno.EPERM
        self.seen[name] += 1
        return error

    def refused(self) -> tuple[Refused, ...]:
        """What was refused so far, most frequent first. Names are those of the kernel; `socket
        vsock` is a socket of that family, `unshare user` a new user namespace."""
        return tuple(Refused("syscall", name, times) for name, times in self.seen.most_common())

    def close(self) -> None:
        """Stop; what was counted stays. Later calls of the box fail all the same."""
        if self.fd >= 0:
            if self.pause is not None:
                self.pause.cancel()
            self.loop.remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
