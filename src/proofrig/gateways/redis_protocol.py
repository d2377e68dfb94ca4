"""The Redis protocol, RESP2 and RESP3, read on the side: bytes to values, nothing is written.

    from the client   array of bulk strings, or a line of words ("inline")      -> [b"SET", ...]
    from the server   + - : $ * and of RESP3 _ # , ( ! = % ~ > |                -> a value

Rules:
1. A reader takes bytes as they come and gives each whole frame with the offset in the stream at
   which it ends; it never looks at a byte twice, however a frame is cut.
2. Values: bytes, int, float, bool, None, list (also of sets and of the pairs of maps), `Refusal`
   (an error) and `Push` (what nobody asked for). An attribute (`|`) belongs to no reply and is
   passed over.
3. What is not RESP raises `Unreadable`: whoever reads goes on blind, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LINE_MAX = 64 << 10  # bytes of a line that is no bulk string, as in Redis itself
BULK_MAX = 512 << 20


class Unreadable(Exception):
    """The stream is not the Redis protocol, or not one this reader knows."""


class Refusal(bytes):
    """An error reply, without its `-`."""


class Push(list[Any]):
    """An out-of-band message of RESP3."""


class _Attribute(list[Any]):
    """What a server says about the reply that follows."""


MORE: Any = object()  # the value is not complete yet
CONTAINERS: dict[int, tuple[type[list[Any]], int]] = {  # type -> (kind, members per element)
    ord("*"): (list, 1),
    ord("~"): (list, 1),
    ord(">"): (Push, 1),
    ord("%"): (list, 2),
    ord("|"): (_Attribute, 2),
}
BULKS = frozenset(b"$!=")


class Reader:
    """Reads one direction of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # of the buffer, up to where it is read
        self._seen = 0  # of the buffer, up to where no end of a line was found
        self._base = 0  # offset in the stream of the buffer's first byte
        self._bulk = -1  # bytes of the bulk string that is awaited; -1: a line is
        self._kind = 0
        self._stack: list[tuple[list[Any], int]] = []  # open containers: (members, wanted)

    @property
    def between(self) -> bool:
        """True when no frame is half read."""
        return not self._stack and self._bulk < 0 and self._at == len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[Any, int]]:
        """(value, offset of its end in the stream) of each frame that is whole now. To be read
        to its end. Raises Unreadable."""
        self._buffer += data
        while True:
            value = self._body() if self._bulk >= 0 else self._line()
            if value is MORE:
                break
            value = self._placed(value)
            if value is not MORE and not isinstance(value, _Attribute):
                yield value, self._base + self._at
        del self._buffer[: self._at]
        self._base += self._at
        self._seen = max(0, self._seen - self._at)
        self._at = 0

    def _body(self) -> Any:
        end = self._at + self._bulk
        if len(self._buffer) < end + 2:
            return MORE
        with memoryview(self._buffer) as view:
            found = bytes(view[self._at : end])
        self._at, self._seen, self._bulk = end + 2, end + 2, -1
        return Refusal(found) if self._kind == 33 else found[4:] if self._kind == 61 else found

    def _line(self) -> Any:
        """The value that a line holds; `MORE` when the line or what it announces is to come."""
        while True:
            end = self._buffer.find(b"\n", max(self._at, self._seen))
            if end < 0:
                self._seen = len(self._buffer)
                if self._seen - self._at > LINE_MAX:
                    raise Unreadable("a line without an end")
                return MORE
            self._kind = self._buffer[self._at]
            line = bytes(self._buffer[self._at + 1 : end]).rstrip(b"\r")
            self._at = self._seen = end + 1
            value = self._opened(line) if self._kind in CONTAINERS else self._said(line)
            if value is not MORE:
                return value
            if self._bulk >= 0:
                return self._body()

    def _said(self, line: bytes) -> Any:
        kind = self._kind
        if kind in BULKS:
            size = _number(line)
            if size > BULK_MAX:
                raise Unreadable(f"a value of {size} bytes")
            self._bulk = size
            return None if size < 0 else MORE
        if kind == 43:  # +
            return line
        if kind == 45:  # -
            return Refusal(line)
        if kind == 58:  # :
            return _number(line)
        if kind == 95:  # _
            return None
        if kind == 35:  # #
            return line == b"t"
        if kind == 44 or kind == 40:  # , and (
            return line
        if self._stack:
            raise Unreadable(f"unknown type {chr(kind)!r}")
        return [bytes((kind,)) + line]  # inline words of a client, split by whoever reads them

    def _opened(self, line: bytes) -> Any:
        kind, each = CONTAINERS[self._kind]
        wanted = _number(line) * each
        if wanted < 0:
            return None
        members = kind()
        if wanted == 0:
            return members
        self._stack.append((members, wanted))
        return MORE

    def _placed(self, value: Any) -> Any:
        """Put a value where it belongs; the outermost value when it is whole."""
        while self._stack:
            members, wanted = self._stack[-1]
            if isinstance(value, _Attribute):
                return MORE
            members.append(value)
            if len(members) < wanted:
                return MORE
            self._stack.pop()
            value = members
        return value


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise Unreadable(f"expected a number, got {line[:40]!r}") from None


def words(command: Any) -> list[bytes]:
    """The words of a client's frame; of an inline line too. Raises Unreadable."""
    if not isinstance(command, list):
        raise Unreadable("expected a command")
    if len(command) == 1 and b" " in command[0]:
        return list(command[0].split())
    if not all(isinstance(word, bytes) for word in command):
        raise Unreadable("expected a command of bulk strings")
    return command
