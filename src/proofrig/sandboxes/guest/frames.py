"""Frames: what the runner and the guest say to each other, over one virtio serial port.

A frame is a kind, the number of a stream, a length, and so many bytes. Both sides import this file.

Rules:
1. Each direction of a stream has a window: what may be on its way before the other side has given
   credit back. So a stream that nobody reads holds up no other, and neither side's memory fills.
2. Streams that the runner opens (a program's pipes) have numbers below GUEST, streams that the
   guest opens (connections to the rig's ports) have numbers from GUEST on.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ASK = 1  # runner: a JSON object, to be answered under the same stream number
ANSWER = 2  # guest: a JSON object
TELL = 3  # guest: a JSON object that nobody asked for
OPEN = 4  # guest: a connection was made; the payload is the port
DATA = 5
END = 6  # no more data in this direction
ABORT = 7  # the stream is gone, both directions
CREDIT = 8  # so many bytes more may be sent

HEADER = struct.Struct("!BII")
NUMBER = struct.Struct("!I")
WINDOW = 1 << 18  # bytes
CHUNK = 1 << 15  # bytes of one DATA frame, at most
MOST = 1 << 22  # bytes of any frame, at most
GUEST = 1 << 31
STDIN, STDOUT, STDERR, REPLY, PIPES = 0, 1, 2, 3, 4  # a program's streams: its number and on


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(kind, stream, len(payload)) + payload


class Parser:
    """Bytes in, whole frames out."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yields (kind, stream, payload). Raises ValueError for a frame that is too long."""
        self.data += data
        at = 0
        try:
            while len(self.data) - at >= HEADER.size:
                kind, stream, size = HEADER.unpack_from(self.data, at)
                if size > MOST:
                    raise ValueError(f"a frame of {size} bytes; at most {MOST} are taken")
                start = at + HEADER.size
                if len(self.data) < start + size:
                    break
                at = start + size
                yield kind, stream, bytes(self.data[start:at])
        finally:
            del self.data[:at]
