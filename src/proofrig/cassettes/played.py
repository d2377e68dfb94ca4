"""A recorded answer, given again: chunk for chunk, with the recorded waits, any share of them, or
none; broken where it broke.

Rules:
1. Waits are counted from the beginning, so that they do not add up to more than was recorded.
2. An answer that was not read as far as it was recorded says so when it is closed; but one that
   was not read to its end then either has done its part.
3. A JSON-RPC answer carries the id of the request that it now answers; all else of it stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
from multidict import CIMultiDict

from proofrig.cassettes.exchange import Exchange
from proofrig.cassettes.redaction import Edit, applied, resized
from proofrig.wire.answer import Cut
from proofrig.wire.sse import EventSplitter, parse_event

_ID = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class Pace:
    """share: 0 for no waiting, 1 as recorded, any factor. clock: nanoseconds; sleep: seconds."""

    def __init__(
        self,
        share: float,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.share = share
        self.clock = clock
        self._sleep = sleep

    async def until(self, began_ns: int, us: int) -> None:
        """Wait until so many recorded microseconds have passed."""
        if self.share:
            left = began_ns + us * self.share * 1000 - self.clock()
            if left > 0:
                await self._sleep(left / 1e9)


class Played:
    """A recorded answer. body: its bytes; unread: called when it is closed before its end; broke:
    what to raise where the answer broke off with an error."""

    def __init__(
        self,
        exchange: Exchange,
        body: bytes,
        pace: Pace,
        *,
        unread: Callable[[], None],
        broke: Callable[[], Exception],
    ) -> None:
        self.status = exchange.status
        self.reason: str | None = exchange.reason or None
        self.headers: CIMultiDict[str] = CIMultiDict(exchange.headers)
        self.length = exchange.length
        self._exchange = exchange
        self._body = body
        self._pace = pace
        self._began = pace.clock()
        self._waited = 0
        self._at = self._chunk = 0
        self._unread: Callable[[], None] | None = unread
        self._broke = broke

    async def readany(self) -> bytes:
        chunks = self._exchange.chunks
        if self._chunk < len(chunks):
            wait, size = chunks[self._chunk]
            self._chunk += 1
            self._waited += wait
            await self._pace.until(self._began, self._waited)
            start = self._at
            self._at = start + size
            return self._body[start : self._at]
        self._unread = None
        match self._exchange.end:
            case "complete":
                return b""
            case "error":
                raise self._broke()
            case "reset":
                raise Cut("reset")
            case _:  # nobody heard the rest, or a clean end came too early
                raise Cut("close")

    def close(self) -> None:
        unread, self._unread = self._unread, None
        left = self._at < len(self._body) or not self._exchange.chunks
        if unread is not None and left and self._exchange.end != "client_gone":
            unread()


def with_id(
    exchange: Exchange, body: bytes, recorded: bytes, asked: bytes
) -> tuple[Exchange, bytes]:
    """A JSON-RPC answer with the id of the request `asked` in place of that of `recorded`."""
    was, now = id_of(recorded), id_of(asked)
    if not was or not now or was == now:
        return exchange, body
    whole = body.lstrip()[:1] == b"{"
    splitter = EventSplitter()
    edits, at = list[Edit](), 0
    for raw in (body,) if whole else (*splitter.feed(body), splitter.held()):
        new = _renamed(raw, was, now) if whole else _in_event(raw, was, now)
        if new != raw:
            edits.append(Edit(at, at + len(raw), new, ""))
        at += len(raw)
    new = applied(body, edits)
    sizes = resized([size for _, size in exchange.chunks], edits)
    chunks = [(wait, size) for (wait, _), size in zip(exchange.chunks, sizes, strict=True) if size]
    length = len(new) if exchange.length == len(body) else exchange.length
    return msgspec.structs.replace(exchange, chunks=chunks, length=length), new


def _in_event(raw: bytes, was: bytes, now: bytes) -> bytes:
    event = parse_event(raw)
    if event is None or event.data not in raw:
        return raw
    return raw.replace(event.data, _renamed(event.data, was, now), 1)


def _renamed(message: bytes, was: bytes, now: bytes) -> bytes:
    try:
        fields = _ID.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return message
    if bytes(fields.get("id", b"")) != was or "method" in fields:
        return message
    fields["id"] = msgspec.Raw(now)
    return _encode(fields)


def id_of(message: bytes) -> bytes:
    """The id of a JSON-RPC message, as it is written; empty where there is none."""
    try:
        return bytes(_ID.decode(message).get("id", b""))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""
