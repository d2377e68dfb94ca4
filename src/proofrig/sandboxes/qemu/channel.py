"""The runner's side of the multiplexer: what the guest's agent is asked, and the streams.

    await channel.ask("exec", ...)      an answer of the agent
    channel.pull(number, take)          what comes on a stream of ours goes to `take`
    channel.push(number)                a stream of ours that is written to
    relay                               carries the connections that the guest opens

Rules:
1. What comes from the guest is not trusted: a frame that breaks the rules of `frames.py`, or more
   than was given credit for, ends the channel.
2. A stream that waits for its reader holds up no other stream.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes.guest import frames
from proofrig.sandboxes.relay import Relay

LOST = "the guest has ended"


class Channel(asyncio.Protocol):
    """One connection to an agent. `told` gets what it tells unasked; `lost` is called once."""

    def __init__(self, told: Callable[[dict[str, Any]], None], lost: Callable[[str], None]) -> None:
        self.told = told
        self.lost = lost
        self.relay: Relay | None = None
        self.ports: frozenset[int] = frozenset()
        self.transport: asyncio.Transport | None = None
        self.parser = frames.Parser()
        self.asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.streams: dict[int, Stream] = {}
        self.next = 0
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def number(self) -> int:
        """A fresh number, and room for the streams of a program behind it."""
        self.next += frames.PIPES
        return self.next

    async def ask(self, do: str, number: int | None = None, **fields: object) -> dict[str, Any]:
        """The agent's answer. Raises SandboxError when the guest ends before, OSError where the
        guest had one."""
        number = self.number() if number is None else number
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self.ended:
            raise SandboxError(LOST)
        self.asked[number] = future
        self.send(frames.ASK, number, msgspec.json.encode({"do": do, **fields}))
        answer = await future
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return answer

    def send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        if self.transport is not None and not self.ended:
            self.transport.write(frames.frame(kind, stream, payload))

    def pull(self, number: int, take: Callable[[bytes], None], end: Callable[[], None]) -> None:
        """Hand what comes on a stream to `take`; `end` is called at its end."""
        Stream(self, number, take, end)

    def push(self, number: int) -> Stream:
        """A stream to write to."""
        return Stream(self, number, lambda _: None, lambda: None)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, number, payload in self.parser.feed(data):
                self.hear(kind, number, payload)
        except (ValueError, msgspec.DecodeError, struct.error) as error:
            self.end(f"the guest said what makes no sense: {error}")

    def hear(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.TELL:
            self.told(msgspec.json.decode(payload, type=dict[str, Any]))
        elif kind == frames.ANSWER:
            future = self.asked.pop(number, None)
            if future is not None and not future.done():
                future.set_result(msgspec.json.decode(payload, type=dict[str, Any]))
        elif kind == frames.OPEN:
            self.open(number, frames.NUMBER.unpack(payload)[0])
        elif stream := self.streams.get(number):
            stream.hear(kind, payload)

    def open(self, number: int, port: int) -> None:
        if number < frames.GUEST or number in self.streams:
            raise ValueError(f"a connection with the number {number}")
        if self.relay is None or port not in self.ports:
            self.send(frames.ABORT, number)
            return
        Carrier(self, number, self.relay.connect(port))

    def connection_lost(self, error: Exception | None) -> None:
        self.end(LOST)

    def end(self, why: str) -> None:
        """No more is heard or said."""
        if self.ended:
            return
        self.ended = True
        if self.transport is not None:
            self.transport.abort()
        for future in self.asked.values():
            if not future.done():
                future.set_exception(SandboxError(why))
                future.exception()  # nobody may be waiting
        for stream in list(self.streams.values()):
            stream.gone()
        self.streams.clear()
        self.lost(why)


class Stream:
    """One stream, both directions."""

    def __init__(
        self,
        channel: Channel,
        number: int,
        take: Callable[[bytes], None],
        end: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.number = number
        self.take = take
        self.end_read = end
        self.credit = frames.WINDOW  # that we have
        self.given = frames.WINDOW  # that the guest has
        self.owed = 0
        self.reading = True
        self.waiting = bytearray()
        self.closing = False
        self.read_ended = self.write_ended = False
        channel.streams[number] = self

    def hear(self, kind: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self.given -= len(payload)
            if self.given < 0:
                raise ValueError("more than was given credit for")
            self.owed += len(payload)
            self.take(payload)
            self.pay()
        elif kind == frames.CREDIT:
            self.credit += frames.NUMBER.unpack(payload)[0]
            self.flush()
        elif kind == frames.END and not self.read_ended:
            self.read_ended = True
            self.end_read()
            self.leave()
        elif kind == frames.ABORT:
            self.forget()
            self.gone()

    def pay(self) -> None:
        if self.reading and self.owed >= frames.WINDOW // 4 and not self.read_ended:
            self.channel.send(frames.CREDIT, self.number, frames.NUMBER.pack(self.owed))
            self.given += self.owed
            self.owed = 0

    def write(self, data: bytes) -> None:
        """What there is no credit for waits."""
        if not self.closing:
            self.waiting += data
            self.flush()

    def write_eof(self) -> None:
        self.closing = True
        self.flush()

    def flush(self) -> None:
        while self.waiting and self.credit > 0:
            piece = bytes(self.waiting[: min(frames.CHUNK, self.credit)])
            del self.waiting[: len(piece)]
            self.credit -= len(piece)
            self.channel.send(frames.DATA, self.number, piece)
        if self.closing and not self.waiting and not self.write_ended:
            self.write_ended = True
            self.channel.send(frames.END, self.number)
            self.leave()

    def leave(self) -> None:
        if self.read_ended and self.write_ended:
            self.forget()

    def forget(self) -> None:
        self.channel.streams.pop(self.number, None)

    def gone(self) -> None:
        """The other side gave it up, or the guest has ended."""
        if not self.read_ended:
            self.read_ended = True
            self.end_read()


class Carrier(Stream):
    """A connection that the guest opened, as asyncio's transports are: the relay's inner end."""

    def __init__(self, channel: Channel, number: int, protocol: asyncio.Protocol) -> None:
        super().__init__(channel, number, protocol.data_received, self.read_end)
        self.protocol = protocol
        self.held = False
        self.over = False
        protocol.connection_made(cast(asyncio.Transport, self))

    def read_end(self) -> None:
        if not self.protocol.eof_received():
            self.write_eof()

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.waiting) > frames.WINDOW and not self.held:
            self.held = True
            self.protocol.pause_writing()

    def flush(self) -> None:
        super().flush()
        if self.held and not self.waiting:
            self.held = False
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.pay()

    def close(self) -> None:
        """What was written still goes out; nothing more is read."""
        self.take = lambda _: None
        self.write_eof()
        self.finish(None)

    def abort(self) -> None:
        if self.number in self.channel.streams:
            self.channel.send(frames.ABORT, self.number)
            self.forget()
        self.finish(None)

    def leave(self) -> None:
        super().leave()
        if self.read_ended and self.write_ended:
            self.finish(None)

    def gone(self) -> None:
        self.finish(ConnectionResetError(LOST))

    def finish(self, error: Exception | None) -> None:
        if not self.over:
            self.over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    def is_closing(self) -> bool:
        return self.over

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default
