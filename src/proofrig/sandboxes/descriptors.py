"""Passing descriptors between processes, and giving them their numbers in one.

Standard library only, and importable on its own. An answer on a socket is "." with descriptors, or
"!", the number of an error and its reason.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket

REPLY, OPTIONS, STATUS, FILTER = 3, 4, 5, 6  # numbers that bwrap, and what it starts, is given


def reply(answer: socket.socket, fds: list[int]) -> None:
    socket.send_fds(answer, [b"."], fds)


def refuse(answer: socket.socket, error: BaseException) -> None:
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    answer.sendall(f"!{number} {error}".encode())


def in_memory(data: bytes) -> int:
    """A file that is nowhere, to be read from its beginning."""
    fd = os.memfd_create("box")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def keep_free(fd: int, below: int) -> int:
    """Occupy the numbers below one for as long as this process lives, so that `give` finds nothing
    of ours there. Returns the new number of `fd`, which moves out of the way."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, below)
    os.close(fd)
    while (taken := os.open(os.devnull, os.O_RDONLY)) < below:
        pass
    os.close(taken)
    return moved


def give(wanted: dict[int, int]) -> None:
    """Have descriptors at these numbers, for the program that this process becomes. The numbers
    were kept free."""
    for number, fd in wanted.items():
        os.dup2(fd, number)
