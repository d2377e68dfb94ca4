"""An agent's connection, until it is known what it wants.

    bytes ──▶ a whole head ──┬── CONNECT ── `connect`, and what comes meanwhile waits
                             └── else ───── the HTTP server takes the connection over

Rules:
1. The first head has to be here within `head_s` and within MAX_HEAD bytes. What does not begin like
   a request is refused at its first byte.
2. When the agent goes away while its CONNECT is carried out, that is given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from proofrig.gateways.egress.heads import END, refusal_bytes

if TYPE_CHECKING:
    from collections.abc import Coroutine

MAX_HEAD = 1 << 16
MAX_EARLY = 1 << 16  # bytes behind a CONNECT, before it was answered


class Served(Protocol):
    """What takes over a connection on which requests are read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...


Connect = Callable[["Front", bytes], "Coroutine[Any, Any, None]"]
Read = Callable[[], Any]


class Front(asyncio.Protocol):
    """A connection of an agent. connect: carries out a CONNECT, given its head. read: makes the
    protocol that reads requests. early: what came behind the CONNECT."""

    def __init__(self, known: set[Front], connect: Connect, read: Read, head_s: float) -> None:
        self.transport: Any = None
        self.early = b""
        self._known = known
        self._connect = connect
        self._read = read
        self._head_s = head_s
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._known.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._head_s, self._late)

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self.early += data
            if len(self.early) >= MAX_EARLY:
                self.transport.pause_reading()
            return
        if self.transport.is_closing():
            return
        self._held += data
        if not b"A" <= self._held[:1] <= b"Z" or self._held.startswith(b"PRI * "):  # HTTP/2
            self.refuse(400, "malformed", _NO_REQUEST)
        elif END in self._held:
            self._begin()
        elif len(self._held) > MAX_HEAD:
            self.refuse(431, "malformed", f"proofrig: a head of more than {MAX_HEAD} bytes came")

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        if self._task is not None:
            self._task.cancel()

    def refuse(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer, and end the connection."""
        self.say(refusal_bytes(status, code, message, headers))

    def say(self, answer: bytes) -> None:
        """Write a last answer."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def leave(self) -> None:
        """The connection is somebody else's from now on, or gone."""
        self._known.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        held, self._held = self._held, b""
        if held.startswith(b"CONNECT "):
            head, _, self.early = held.partition(END)
            self._task = asyncio.get_running_loop().create_task(self._connect(self, head))
            return
        reader = self._read()
        self.leave()
        self.transport.set_protocol(reader)
        reader.connection_made(self.transport)
        reader.data_received(held)

    def _late(self) -> None:
        self.refuse(408, "malformed", f"proofrig: no whole request came in {self._head_s:g} s")


_NO_REQUEST = (
    "proofrig: expected an HTTP/1.1 request: this port is a proxy (HTTP_PROXY, HTTPS_PROXY), and "
    "is reached with http://, not https://"
)
