"""Server-sent events: bytes in any chunking to events, and events to bytes.

Rules:
1. `EventSplitter` cuts the byte stream after each blank line and loses nothing: the blocks it
   gives, and what it still holds, joined, are the bytes it was fed.
2. Lines end in LF, CRLF or CR, mixed as they come. A CRLF cut between its two bytes gives a block
   of one LF that belongs to the block before; no other block is a single byte.
3. Cutting happens at ASCII line ends, so a character split over two chunks stays whole.
4. An event that the body's end cut off is no event (the standard's rule, and the SDKs').
"""

from __future__ import annotations

import re

import msgspec

_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n){2}")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its name (empty when it has none) and its data lines joined by LF."""

    name: str
    data: bytes


class EventSplitter:
    """Cuts a body into raw events, each with the blank line that ends it. One per body."""

    __slots__ = ("_after_cr", "_held")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # chunks without a line end are kept apart: no quadratic joins
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The raw events that these bytes complete."""
        if not chunk:
            return []
        blocks: list[bytes] = []
        if self._after_cr:
            self._after_cr = False
            if chunk[0] == 10:
                blocks.append(b"\n")
                chunk = chunk[1:]
                if not chunk:
                    return blocks
        if b"\n" not in chunk and b"\r" not in chunk:
            self._held.append(chunk)
            return blocks
        if self._held:
            self._held.append(chunk)
            chunk = b"".join(self._held)
            self._held.clear()
        rest = self._cut_mixed(chunk, blocks) if b"\r" in chunk else _cut_lf(chunk, blocks)
        if rest:
            self._held.append(rest)
        return blocks

    def held(self) -> bytes:
        """The bytes of the unfinished event; they are given out and no longer held."""
        rest = b"".join(self._held)
        self._held.clear()
        return rest

    def _cut_mixed(self, data: bytes, blocks: list[bytes]) -> bytes:
        start = 0
        for blank in _BLANK_LINE.finditer(data):
            blocks.append(data[start : blank.end()])
            start = blank.end()
        self._after_cr = start == len(data) and data[-1] == 13
        return data[start:]


def _cut_lf(data: bytes, blocks: list[bytes]) -> bytes:
    start = 0
    while (end := data.find(b"\n\n", start)) >= 0:
        blocks.append(data[start : end + 2])
        start = end + 2
    return data[start:] if start else data


def parse_event(block: bytes) -> Event | None:
    """The event in a raw block, or None when it has no data (comments, a lone name, blank)."""
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2 and b"\r" not in block:
        return Event("", block[6:-2])  # what nearly every event of a chat stream looks like
    name = ""
    data: list[bytes] = []
    for line in block.removeprefix(_BOM).splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return Event(name, b"\n".join(data)) if data else None


class EventReader:
    """Reads a body into events, however it is chunked. One per body."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events = map(parse_event, self._splitter.feed(chunk))
        return [event for event in events if event is not None]


def encode_event(data: bytes, name: str = "") -> bytes:
    """One event as bytes; each line of `data` becomes its own data line."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return head + b"data: " + data + b"\n\n"
