"""The guest's side of the multiplexer: pipes and connections in here, streams of one port outside.

Rules:
1. One loop, one thread; nothing blocks it.
2. What is read is what the other side gave credit for, so at most a window per stream waits here.
3. Descriptors are kept as numbers, so that a fork can close them all without their owners noticing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections import deque

from proofrig.sandboxes.guest.frames import (
    ABORT,
    ASK,
    CHUNK,
    CREDIT,
    DATA,
    END,
    NUMBER,
    WINDOW,
    Parser,
    frame,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

IN, OUT = select.EPOLLIN, select.EPOLLOUT
READ = 1 << 16


class Loop:
    """Calls the function that belongs to a descriptor when it is ready."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.calls: dict[int, Callable[[int], None]] = {}
        self.masks: dict[int, int] = {}

    def watch(self, fd: int, mask: int, call: Callable[[int], None]) -> None:
        """Set what is waited for at `fd`; a mask of 0 waits for nothing."""
        known = self.masks.get(fd, 0)
        if mask and known:
            self.epoll.modify(fd, mask)
        elif mask:
            self.epoll.register(fd, mask)
        elif known:
            self.epoll.unregister(fd)
        self.masks[fd] = mask
        self.calls[fd] = call

    def forget(self, fd: int) -> None:
        if self.masks.pop(fd, 0):
            self.epoll.unregister(fd)
        self.calls.pop(fd, None)

    def close(self) -> None:
        self.epoll.close()

    def turn(self, timeout: float) -> None:
        for fd, mask in self.epoll.poll(timeout):
            call = self.calls.get(fd)
            if call is not None:
                call(mask)


class Channel:
    """The port to the runner, and the streams on it."""

    def __init__(self, loop: Loop, fd: int, heard: Callable[[int, bytes], None]) -> None:
        self.loop = loop
        self.fd = fd
        self.heard = heard
        self.parser = Parser()
        self.out: deque[bytes] = deque()
        self.streams: dict[int, Any] = {}
        os.set_blocking(fd, False)
        loop.watch(fd, IN, self.ready)

    def send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self.out.append(frame(kind, stream, payload))
        if len(self.out) == 1:
            self.flush()

    def say(self, kind: int, stream: int, message: dict[str, Any]) -> None:
        self.send(kind, stream, json.dumps(message).encode())

    def flush(self) -> None:
        try:
            while self.out:
                data = self.out[0]
                done = os.write(self.fd, data)
                if done < len(data):
                    self.out[0] = data[done:]
                else:
                    self.out.popleft()
        except BlockingIOError:
            self.loop.watch(self.fd, IN | OUT, self.ready)
            return
        if self.loop.masks[self.fd] & OUT:
            self.loop.watch(self.fd, IN, self.ready)

    def ready(self, mask: int) -> None:
        if mask & OUT:
            self.flush()
        if mask & IN:
            try:
                data = os.read(self.fd, READ)
            except BlockingIOError:
                return
            for kind, number, payload in self.parser.feed(data):
                stream = self.streams.get(number)
                if kind == ASK:
                    self.heard(number, payload)
                elif stream is None:
                    pass  # it ended here while this was on its way
                elif kind == DATA:
                    stream.take(payload)
                elif kind == CREDIT:
                    stream.give(NUMBER.unpack(payload)[0])
                elif kind == END:
                    stream.end()
                elif kind == ABORT:
                    stream.abort()


class Stream:
    """One stream: what is read at `source` goes out, what comes in is written to `sink`; -1 where
    there is no such direction. A connection is both, one descriptor."""

    def __init__(
        self, channel: Channel, number: int, source: int, sink: int, done: Callable[[], None]
    ) -> None:
        self.channel = channel
        self.loop = channel.loop
        self.number = number
        self.source = source
        self.sink = sink
        self.done = done
        self.credit = WINDOW
        self.waiting = bytearray()
        self.taken = 0  # bytes written since credit was given
        self.ended = False
        channel.streams[number] = self
        for fd in {source, sink} - {-1}:
            os.set_blocking(fd, False)
        self.listen()

    def listen(self) -> None:
        """Wait for what can be done now."""
        reading = IN if self.source >= 0 and self.credit > 0 else 0
        writing = OUT if self.sink >= 0 and self.waiting else 0
        if self.source == self.sink:
            if self.source >= 0:
                self.loop.watch(self.source, reading | writing, self.ready)
            return
        if self.source >= 0:
            self.loop.watch(self.source, reading, self.ready)
        if self.sink >= 0:
            self.loop.watch(self.sink, writing, self.ready)

    def ready(self, mask: int) -> None:
        if mask & OUT or (self.waiting and mask & (select.EPOLLERR | select.EPOLLHUP)):
            self.write()
        if mask & ~OUT and self.source >= 0 and self.credit > 0:
            self.read()

    def read(self) -> None:
        try:
            data = os.read(self.source, min(CHUNK, self.credit))
        except BlockingIOError:
            return
        except OSError:
            self.break_off()
            return
        if data:
            self.credit -= len(data)
            self.channel.send(DATA, self.number, data)
            if self.credit <= 0:
                self.listen()
            return
        self.channel.send(END, self.number)
        source, self.source = self.source, -1
        if source != self.sink:
            self.loop.forget(source)
            os.close(source)
        elif self.ended and not self.waiting:
            self.close_sink()
        else:
            self.loop.watch(source, OUT if self.waiting else 0, self.ready)
        self.finish()

    def take(self, data: bytes) -> None:
        if self.sink < 0:
            return
        self.waiting += data
        self.write()

    def write(self) -> None:
        try:
            while self.waiting:
                done = os.write(self.sink, memoryview(self.waiting)[:CHUNK].tobytes())
                del self.waiting[:done]
                self.taken += done
        except BlockingIOError:
            pass
        except OSError:  # the reader is gone: it needs no more
            self.waiting.clear()
            if self.source == self.sink:
                self.break_off()
            else:
                self.close_sink()
                self.finish()
            return
        if self.taken >= WINDOW // 2:
            self.channel.send(CREDIT, self.number, NUMBER.pack(self.taken))
            self.taken = 0
        if self.ended and not self.waiting:
            self.close_sink()
            self.finish()
        else:
            self.listen()

    def give(self, credit: int) -> None:
        self.credit += credit
        self.listen()

    def end(self) -> None:
        self.ended = True
        if not self.waiting and self.sink >= 0:
            self.close_sink()
            self.finish()

    def close_sink(self) -> None:
        """Nothing more is written: the end of a pipe, half of a connection."""
        sink, self.sink = self.sink, -1
        if sink != self.source:
            self.loop.forget(sink)
            if self.source < 0 or sink != self.source:
                os.close(sink)
            return
        half = socket.socket(fileno=sink)
        with contextlib.suppress(OSError):
            half.shutdown(socket.SHUT_WR)
        half.detach()
        self.listen_to_source()

    def listen_to_source(self) -> None:
        self.loop.watch(self.source, IN if self.credit > 0 else 0, self.ready)

    def break_off(self) -> None:
        self.channel.send(ABORT, self.number)
        self.abort()

    def abort(self) -> None:
        """Gone, both directions, at once. A connection is reset."""
        if self.source == self.sink >= 0:
            gone = socket.socket(fileno=self.source)
            with contextlib.suppress(OSError):
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.detach()
        for fd in {self.source, self.sink} - {-1}:
            self.loop.forget(fd)
            os.close(fd)
        self.source = self.sink = -1
        self.waiting.clear()
        self.finish()

    def finish(self) -> None:
        if self.source < 0 and self.sink < 0 and self.channel.streams.pop(self.number, None):
            self.done()
