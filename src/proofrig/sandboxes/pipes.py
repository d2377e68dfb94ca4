"""The runner's ends of a box's pipes.

Rules:
1. Output past its cap is read and dropped.
2. Nothing blocks: what a pipe does not take at once waits for the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from proofrig.sandboxes.sandbox import Command

CHUNK = 1 << 16


class Capture:
    """The reading end of a pipe: keeps `cap` bytes (the first, or the last when `tail`), counts
    all, or hands everything to `sink`."""

    def __init__(
        self, cap: int, *, tail: bool = False, sink: Callable[[bytes], None] | None = None
    ) -> None:
        self.fd, self.write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        self.cap = cap
        self.tail = tail
        self.sink = sink
        self.kept = bytearray()
        self.total = 0
        asyncio.get_running_loop().add_reader(self.fd, self.read)

    def read(self) -> None:
        for _ in range(4):  # fair to the other pipes of the loop
            if not self.read_once():
                return

    def read_once(self) -> bool:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)
            return False
        self.total += len(data)
        if self.sink is not None:
            self.sink(data)
        elif self.tail:
            self.kept += data
            if len(self.kept) > 2 * self.cap:
                del self.kept[: len(self.kept) - self.cap]
        elif len(self.kept) < self.cap:
            self.kept += data[: self.cap - len(self.kept)]
        return True

    def finish(self) -> bytes:
        """Read what is left (the writers are gone), close, and give what was kept."""
        while self.read_once():
            pass
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)
        return bytes(self.kept[max(0, len(self.kept) - self.cap) :])


class Feed:
    """The writing end of standard input."""

    def __init__(self, data: bytes, *, keep: bool) -> None:
        self.read_fd, self.fd = os.pipe()
        os.set_blocking(self.fd, False)
        self.keep = keep
        self.closed = False
        self.waiting = False
        self.data = bytearray()
        self.send(data)

    def send(self, data: bytes) -> None:
        if self.closed:
            return
        self.data += data
        if not self.waiting:
            self.write()

    def write(self) -> None:
        try:
            while self.data:
                del self.data[: os.write(self.fd, memoryview(bytes(self.data[: 4 * CHUNK])))]
        except BlockingIOError:
            if not self.waiting:
                self.waiting = True
                asyncio.get_running_loop().add_writer(self.fd, self.write)
            return
        except OSError:  # the reader is gone; how the command ended tells the rest
            self.close()
            return
        if self.waiting:
            self.waiting = False
            asyncio.get_running_loop().remove_writer(self.fd)
        if not self.keep:
            self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.waiting:
                asyncio.get_running_loop().remove_writer(self.fd)
            os.close(self.fd)


@dataclass
class Pipes:
    """All pipes of one box. `theirs` are the box's ends: standard input, output, error, reply."""

    feed: Feed | None
    stdout: Capture
    stderr: Capture
    reply: Capture | None
    theirs: list[int]

    @classmethod
    def open(
        cls, command: Command, *, keep_stdin: bool, on_reply: Callable[[bytes], None] | None
    ) -> Pipes:
        """Raises OSError, with nothing left open, when there are no descriptors."""
        feed: Feed | None = None
        captures: list[Capture] = []
        theirs: list[int] = []
        try:
            if command.stdin or keep_stdin:
                feed = Feed(command.stdin, keep=keep_stdin)
                theirs.append(feed.read_fd)
            else:
                theirs.append(os.open(os.devnull, os.O_RDONLY))
            captures.append(Capture(command.stdout_cap))
            theirs.append(captures[-1].write_fd)
            captures.append(Capture(command.stderr_cap, tail=True))
            theirs.append(captures[-1].write_fd)
            if command.reply_cap or on_reply:
                captures.append(Capture(command.reply_cap, sink=on_reply))
                theirs.append(captures[-1].write_fd)
        except OSError:
            for fd in theirs:
                os.close(fd)
            for capture in captures:
                capture.finish()
            if feed is not None:
                feed.close()
            raise
        return cls(feed, captures[0], captures[1], captures[2] if captures[2:] else None, theirs)

    def finish(self) -> tuple[bytes, bytes, bytes]:
        """Close our ends; what was kept of output, error and reply."""
        if self.feed is not None:
            self.feed.close()
        reply = self.reply.finish() if self.reply else b""
        return self.stdout.finish(), self.stderr.finish(), reply
