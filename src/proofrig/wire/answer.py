"""An answer on its way to the agent: a status, headers, and bytes as they come.

    whoever answers ──▶ recorded or replayed ──▶ faults ──▶ the gateway's relay ──▶ agent

Rules:
1. Chunks keep their boundaries from one end to the other.
2. A body ends with an empty chunk. A connection that breaks before raises `Cut`, and what has been
   read until then has arrived.
3. Whoever holds an answer closes it, once, also when it was not read to its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal, Protocol

from multidict import CIMultiDict

EVENT_STREAM = "text/event-stream"
How = Literal["reset", "close"]


class Cut(Exception):
    """The connection breaks here. how: `reset` (RST), or `close` (FIN, and no end of the body)."""

    def __init__(self, how: How = "reset") -> None:
        super().__init__(how)
        self.how: How = how


class Answer(Protocol):
    """An answer whose head is here. headers: case-insensitive, as they came."""

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def headers(self) -> Mapping[str, str]: ...

    async def readany(self) -> bytes:
        """The next bytes; empty at the end. Raises Cut, or ProviderError when whoever answers broke
        off."""

    def close(self) -> None:
        """Give back what it holds."""


class Made:
    """An answer that is made here, or remade from another. `chunks` is a whole body or what yields
    its pieces; `length` is what the head says of a whole body's length, its own by default;
    `source` is closed with it."""

    def __init__(
        self,
        status: int,
        chunks: bytes | AsyncIterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        *,
        source: Answer | None = None,
        length: int | None = None,
    ) -> None:
        self.status = status
        self.reason: str | None = None
        self.headers: CIMultiDict[str] = CIMultiDict(headers or {})
        self.headers.popall("content-length", None)
        if isinstance(chunks, bytes):
            self.length = len(chunks) if length is None else length
            self._whole, self._chunks = chunks, None
        else:
            self.length = -1 if length is None else length
            self._whole, self._chunks = b"", chunks
        self._source = source

    async def readany(self) -> bytes:
        if self._chunks is None:
            whole, self._whole = self._whole, b""
            return whole
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


def streams(answer: Answer) -> bool:
    """True when the body is server-sent events."""
    return answer.headers.get("content-type", "").startswith(EVENT_STREAM)


def length_of(answer: Answer) -> int:
    """The bytes of a body as its head says them; -1 when it does not."""
    length: int | None = getattr(answer, "length", None)
    if length is not None:
        return length
    said = answer.headers.get("content-length", "")
    return int(said) if said.isdecimal() else -1


async def read(answer: Answer) -> bytes:
    """The rest of the body. Raises what `readany` raises; then what came before is lost."""
    parts = []
    while chunk := await answer.readany():
        parts.append(chunk)
    return b"".join(parts)


async def chunks(answer: Answer) -> AsyncIterator[bytes]:
    """The chunks of a body, one after another."""
    while chunk := await answer.readany():
        yield chunk


def rechunked(
    answer: Answer, change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
) -> Made:
    """The same answer, its chunks as `change` makes them. A whole body's length stays as said."""
    made = Made(
        answer.status,
        change(chunks(answer)),
        answer.headers,
        source=answer,
        length=length_of(answer),
    )
    made.reason = answer.reason
    return made


def rebodied(answer: Answer, body: bytes, *, content_type: str = "") -> Made:
    """The same status and headers with another whole body."""
    made = Made(answer.status, body, answer.headers, source=answer)
    made.reason = answer.reason
    made.headers.popall("content-encoding", None)
    if content_type:
        made.headers["content-type"] = content_type
    return made
