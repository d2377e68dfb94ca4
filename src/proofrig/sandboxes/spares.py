"""What the parent of boxes (`bubblewrap_keeper.py`) has ready for the next box, and how it lets go.

Standard library only, and importable on its own. Rules:
1. One process that is to become bwrap, with its network (`becoming.py`: 5 ms), and one file system
   of the size that was asked for last (3 ms). Who needs more, or others, gets them made then.
2. Each is for one box, made empty and used once: no box sees anything of another.
3. They hold nothing open but their own: a box's mounts and pipes end with it.
4. The last to close a namespace or a packet socket waits for the kernel (10 ms and more). A process
   of its own does that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from proofrig.sandboxes import becoming, descriptors, layers
else:
    import becoming
    import descriptors
    import layers

DESCRIPTORS = 64


class Helper(NamedTuple):
    """A process that waits on the other end of a socket."""

    pid: int
    link: socket.socket


class Volume(NamedTuple):
    """A file system that waits for a box; a mount that is attached nowhere."""

    room: dict[str, Any]
    fd: int


class Spares:
    """uid: the user to become, -1 where it is ours."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self._closer = fork(close_all)
        self._becoming: Helper | None = None
        self._volume: Volume | None = None
        self._room: dict[str, Any] | None = None  # of the last box

    def are_ready(self) -> bool:
        return self._becoming is not None and (not self._room or self._volume is not None)

    def get_ready(self) -> None:
        """Make one thing that is missing."""
        try:
            if self._becoming is None:
                self._becoming = self._fork()
            elif self._room:
                self._volume = Volume(self._room, layers.new_volume(self._room))
        except OSError:  # whoever needs it is told
            self._room = None

    def _fork(self) -> Helper:
        return fork(lambda link: becoming.become(link, self.uid))

    def become(self, data: bytes, given: list[int]) -> int:
        """Have a process become bwrap; its pid. data, given: what `becoming.become` is sent. Raises
        OSError."""
        told = descriptors.in_memory(data)
        try:
            for _ in range(2):
                helper, self._becoming = self._becoming or self._fork(), None
                with helper.link, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    socket.send_fds(helper.link, [b"."], [told, *given])
                    return helper.pid
            raise OSError(errno.ESRCH, "the processes that are to become boxes are killed")
        finally:
            os.close(told)

    def volume(self, room: dict[str, Any] | None) -> int:
        """A file system for one box, -1 where it needs none. Raises OSError."""
        ready, self._volume, self._room = self._volume, None, room
        if ready is not None:
            if ready.room == room:
                return ready.fd
            self.let_go([ready.fd])
        return layers.new_volume(room) if room else -1

    def let_go(self, fds: list[int]) -> None:
        """Close descriptors whose end the kernel may take its time for."""
        with contextlib.suppress(OSError):  # then they are closed here
            socket.send_fds(self._closer.link, [b"."], fds)
        for fd in fds:
            os.close(fd)

    def pids(self) -> set[int]:
        helpers = (self._closer, self._becoming)
        return {helper.pid for helper in helpers if helper is not None}

    def reaped(self, pid: int) -> None:
        """A process has ended, which may be one of these."""
        if self._becoming is not None and pid == self._becoming.pid:
            self._becoming.link.close()
            self._becoming = None


def fork(work: Callable[[socket.socket], object]) -> Helper:
    """A process that does `work` with its end of a socket. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            fd = theirs.fileno()
            os.closerange(descriptors.FILTER + 1, fd)
            os.closerange(fd + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            work(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return Helper(pid, ours)


def close_all(link: socket.socket) -> None:
    """Close the descriptors that come."""
    while (came := socket.recv_fds(link, 1, DESCRIPTORS))[0]:
        for fd in came[1]:
            os.close(fd)
