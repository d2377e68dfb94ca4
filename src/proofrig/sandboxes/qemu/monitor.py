"""QEMU's monitor protocol (QMP): commands, answers, events, as JSON lines over a socket.

Rules:
1. Commands may be sent before the greeting has come, and many at a time: answers come in order.
2. The end of the connection fails what waits for an answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import Any, cast

import msgspec

from proofrig.errors import SandboxError

END = "the machine has ended"


class Monitor(asyncio.Protocol):
    """One connection. `events` are the last ones that came; `lost` is done at its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[tuple[str, asyncio.Future[Any]]] = deque()
        self.events: deque[dict[str, Any]] = deque(maxlen=20)
        self.data = b""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, command: str, **arguments: object) -> asyncio.Future[Any]:
        """Send a command; what it answers, or a SandboxError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.transport is None or self.transport.is_closing():
            future.set_exception(SandboxError(f"QEMU was asked to {command}: {END}"))
            return future
        self.waiting.append((command, future))
        message = {"execute": command, "arguments": arguments}
        self.transport.write(msgspec.json.encode(message) + b"\n")
        return future

    def give(self, name: str, fd: int) -> asyncio.Future[Any]:
        """Hand QEMU a descriptor, which commands then call `fd:<name>`. Nothing else may be on its
        way."""
        assert self.transport is not None
        line = msgspec.json.encode({"execute": "getfd", "arguments": {"fdname": name}}) + b"\n"
        number = self.transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as link:
            socket.send_fds(link, [line], [fd])
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append(("getfd", future))
        return future

    def data_received(self, data: bytes) -> None:
        *lines, self.data = (self.data + data).split(b"\n")
        for line in lines:
            message: dict[str, Any] = msgspec.json.decode(line) if line.strip() else {}
            if "event" in message:
                self.events.append(message)
            elif ("return" in message or "error" in message) and self.waiting:
                command, future = self.waiting.popleft()
                if future.done():
                    continue
                if "return" in message:
                    future.set_result(message["return"])
                else:
                    why = message["error"].get("desc", message["error"])
                    future.set_exception(SandboxError(f"QEMU was asked to {command}: {why}"))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)
        while self.waiting:
            command, future = self.waiting.popleft()
            if not future.done():
                future.set_exception(SandboxError(f"QEMU was asked to {command}: {END}"))
                future.exception()  # nobody may be waiting

    def ended_by(self) -> str:
        """What the machine said about its own end: `guest-panic`, `guest-reset`, ...; or ""."""
        for event in reversed(self.events):
            if event["event"] == "SHUTDOWN":
                return str(event.get("data", {}).get("reason", ""))
        return ""

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
