"""Two connections joined: what comes over one goes out over the other, counted.

Rules:
1. While one side does not take what it is sent, the other is not read.
2. The end of one direction is passed on, and the other direction stays open; half open and silent
   for `half_s` seconds, it is closed.
3. When one side is gone the other is closed, after what is on its way to it; when one was reset, so
   is the other.
4. At the trial's last byte both are closed. Its end is written before either side can see it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proofrig.gateways.breaking import hang_up
from proofrig.gateways.egress.passage import Ending, Passage
from proofrig.history.action import Outcome


class End(asyncio.Protocol):
    """One side of a tunnel. What it gets before it is joined waits."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.tunnel: Tunnel | None = None
        self.other: End | None = None
        self.ended = False  # no more comes from here
        self.lost = False
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.moved(self, data)
            return
        self._early += data
        self.transport.pause_reading()

    def joined(self, tunnel: Tunnel, other: End) -> None:
        """From now on what comes goes to the other side."""
        self.tunnel, self.other = tunnel, other
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            tunnel.moved(self, early)
            if not self.transport.is_closing():
                self.transport.resume_reading()
        if self.lost:
            tunnel.gone(self, None)
        elif self.ended:
            tunnel.half(self)

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self.tunnel is not None:
            self.tunnel.half(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.tunnel is not None:
            self.tunnel.gone(self, exc)


class Tunnel:
    """An agent's connection (`near`) and one to a host (`far`). over: done when it has ended."""

    def __init__(self, passage: Passage, near: End, far: End, half_s: float) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._passage = passage
        self._near, self._far = near, far
        self._half_s = half_s
        self._moved = 0
        self._timer: asyncio.TimerHandle | None = None
        near.joined(self, far)
        far.joined(self, near)

    def moved(self, end: End, data: bytes) -> None:
        """Bytes have come from one side."""
        if self.over.done():
            return
        passage = self._passage
        taken = passage.send(len(data)) if end is self._near else passage.receive(len(data))
        self._moved += taken
        assert end.other is not None
        if taken:
            end.other.transport.write(data if taken == len(data) else data[:taken])
        if taken < len(data):
            self.finish(passage.spent or "byte_cap")

    def half(self, end: End) -> None:
        """One side has said all."""
        other = end.other
        if self.over.done() or other is None:
            return
        if other.ended:
            self.finish(self._side(other))  # who ended first
            return
        if other.transport.can_write_eof() and not other.transport.is_closing():
            other.transport.write_eof()
        self._wait(self._moved)

    def gone(self, end: End, error: Exception | None) -> None:
        """One side is no longer there."""
        first = end.other if end.other is not None and end.other.ended else end
        self.finish(self._side(end if error else first), error)

    def finish(self, by: Ending, error: Exception | None = None) -> None:
        """Write down how it ended, and close both sides."""
        if self.over.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self.over.set_result(None)
        if by == "byte_cap" or by == "limit_egress":
            self._passage.settle("fail", status=200, ended_by=by, blocked=by)
        elif by == "host" and error is not None:
            said = f"{self._passage.where} broke off: {error}"
            self._passage.settle("fail", status=200, ended_by=by, error=said)
        else:
            outcome: Outcome = "unknown" if by == "rig" else "ok"
            self._passage.settle(outcome, status=200, ended_by=by)
        for end in (self._near, self._far):
            if not end.lost:
                hang_up(end.transport, "close" if error is None else "reset")

    def _side(self, end: End) -> Ending:
        return "agent" if end is self._near else "host"

    def _wait(self, before: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._half_s, self._silent, before)

    def _silent(self, before: int) -> None:
        if self._moved != before:
            self._wait(self._moved)
        else:
            self.finish("agent" if self._near.ended else "host")
