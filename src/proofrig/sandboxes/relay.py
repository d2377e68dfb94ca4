"""What a box says to the rig's ports passes here: carried on to the port, counted, and capped.

    relay = Relay(limits.egress_bytes, on_broken)
    relay.serve(listener, port)        a planted listener (namespace, container)
    relay.connect(port)                the protocol of one connection, for another carrier: a
                                       unix socket (as a server's factory), a vm's multiplexer

Rules:
1. Bytes are counted when they are passed on, in both directions. What would cross the cap is not
   passed: `broken` is set, `on_broken` is called once, every connection is cut.
2. Both ends are as far apart as one connection: a half-close stays one, a slow reader slows the
   writer, a reset ends the other end too, small writes are not held back (TCP_NODELAY).
3. A box has so many connections at a time; what it opens beyond them waits in the listener's
   backlog. So it cannot use up the runner's descriptors.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

HOST = "127.0.0.1"
MOST = 256  # connections of a box at a time, where the runner's descriptors allow
AT_ONCE = 64  # accepted in one go, fair to the rest of the loop
AGAIN_S = 0.1  # when the runner itself has no descriptor left


class Relay:
    """All connections of one box. Made on the event loop that carries them."""

    def __init__(
        self,
        egress_bytes: int | None,
        on_broken: Callable[[], None],
        *,
        most: int | None = None,
    ) -> None:
        self.egress_bytes = egress_bytes
        self.on_broken = on_broken
        self.most = most or min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8)
        self.bytes_out = 0  # from the box to the rig
        self.bytes_in = 0
        self.connections = 0
        self.broken = False
        self.closed = False
        self.loop = asyncio.get_running_loop()
        self.live: set[Pair] = set()
        self.listeners: dict[socket.socket, int] = {}
        self.accepting = False
        self.tasks: set[asyncio.Task[object]] = set()

    def serve(self, listener: socket.socket, port: int) -> None:
        """Carry what connects to `listener` to 127.0.0.1:`port`. The listener is the relay's from
        now on: `forget` and `close` close it."""
        listener.setblocking(False)
        self.listeners[listener] = port
        self.accepting = False
        self.resume()

    def forget(self, listener: socket.socket) -> None:
        """Accept nothing more from a listener, and close it; its connections go on."""
        if self.listeners.pop(listener, None) is not None:
            self.loop.remove_reader(listener.fileno())
        listener.close()

    def connect(self, port: int) -> asyncio.Protocol:
        """The protocol for the box's end of one connection to `port`. Its carrier calls it as
        asyncio's transports do, and is called as such: write, write_eof, close, abort,
        pause_reading, resume_reading, get_extra_info."""
        return Pair(self, port).inner

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = self.loop.create_task(work)
        self.tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self.tasks.discard)
        return task

    def resume(self) -> None:
        """Accept, unless the box has all the connections it may have."""
        if not self.accepting and not self.closed and len(self.live) < self.most:
            self.accepting = True
            for listener in self.listeners:
                self.loop.add_reader(listener.fileno(), self.accept, listener)

    def pause(self) -> None:
        self.accepting = False
        for listener in self.listeners:
            self.loop.remove_reader(listener.fileno())

    def accept(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if len(self.live) >= self.most:
                self.pause()
                return
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self.pause()
                self.loop.call_later(AGAIN_S, self.resume)
                return
            accepted.setblocking(False)
            self.take(Pair(self, self.listeners[listener]), accepted)

    def take(self, pair: Pair, accepted: socket.socket) -> None:
        def settle(task: asyncio.Task[object]) -> None:
            if task.cancelled() or task.exception() is not None:
                accepted.close()
                pair.cut()

        taking = self.loop.connect_accepted_socket(lambda: pair.inner, accepted)
        self.spawn(taking).add_done_callback(settle)

    def passes(self, size: int) -> bool:
        """Count what the box wants to send; False (and everything is cut) beyond the cap."""
        if self.egress_bytes is not None and self.bytes_out + size > self.egress_bytes:
            if not self.broken:
                self.broken = True
                self.cut()
                self.on_broken()
            return False
        self.bytes_out += size
        return True

    def cut(self) -> None:
        for pair in list(self.live):
            pair.cut()

    def close(self) -> None:
        """Cut every connection and stop listening; the counts stay."""
        if not self.closed:
            self.closed = True
            self.pause()
            for listener in self.listeners:
                listener.close()
            self.listeners.clear()
            self.cut()


class Pair:
    """One connection: the box's end (`inner`) and the rig's (`outer`)."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.relay = relay
        self.port = port
        self.inner = End(self, outwards=True)
        self.outer = End(self, outwards=False)
        self.inner.other, self.outer.other = self.outer, self.inner
        self.is_cut = False
        relay.live.add(self)
        relay.connections += 1

    async def open(self) -> None:
        """Reach the rig; what the box has said meanwhile follows."""
        relay = self.relay
        try:
            await relay.loop.create_connection(lambda: self.outer, HOST, self.port)
        except OSError:  # the rig is gone, or has no room: the box sees its connection end
            self.cut()

    def cut(self) -> None:
        """End both ends now."""
        self.is_cut = True
        for end in (self.inner, self.outer):
            if end.transport is not None:
                end.transport.abort()
            else:
                end.lost = True
        self.leave()

    def leave(self) -> None:
        if self.inner.lost and self.outer.lost and self in self.relay.live:
            self.relay.live.remove(self)
            self.relay.resume()


class End(asyncio.Protocol):
    """One end of a connection: what is read here is written at the other."""

    other: End

    def __init__(self, pair: Pair, *, outwards: bool) -> None:
        self.pair = pair
        self.outwards = outwards
        self.transport: asyncio.Transport | None = None
        self.waiting = bytearray()  # said before the other end was there
        self.ended = False  # by its peer: nothing more is read here
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.pair.is_cut or self.pair.relay.broken or self.pair.relay.closed:
            self.pair.cut()
            return
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family == socket.AF_INET:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.outwards:
            self.transport.pause_reading()
            self.pair.relay.spawn(self.pair.open())
            return
        inner = self.other
        if inner.waiting:
            self.transport.write(bytes(inner.waiting))
            inner.waiting.clear()
        if inner.ended:
            self.transport.write_eof()
        elif inner.transport is not None:
            inner.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        relay = self.pair.relay
        if not self.outwards:
            relay.bytes_in += len(data)
        elif not relay.passes(len(data)):
            return
        if self.other.transport is None:
            self.waiting += data
        else:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """True: this end stays open for what the other still has to say."""
        self.ended = True
        other = self.other
        if other.ended:
            self.finish()
            return False
        if other.transport is not None and not other.lost:
            other.transport.write_eof()
        return True

    def finish(self) -> None:
        """Both have said all."""
        for end in (self, self.other):
            if end.transport is not None:
                end.transport.close()

    def pause_writing(self) -> None:
        if self.other.transport is not None and not self.other.lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None and not self.other.lost:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        other = self.other
        if other.transport is None:
            self.pair.is_cut = True  # when it comes, it goes again
        elif not other.lost:
            other.transport.abort() if exc else other.transport.close()
        self.pair.leave()
