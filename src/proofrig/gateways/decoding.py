"""Reading bodies that a provider compressed although it was asked not to.

Rules:
1. What is read here is a copy: the agent gets the bytes as they came.
2. What cannot be decompressed reads as nothing; the codec then says what it expected.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable


def reader_of(encoding: str) -> Callable[[bytes], bytes] | None:
    """What turns the chunks of a body with this `Content-Encoding`, one after the other, into plain
    bytes; None when they are plain already, or compressed in a way that is not known here."""
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip", "deflate"):
        return _tolerant(zlib.decompressobj(wbits=47).decompress)  # 47: gzip or zlib, as it begins
    return None


def _tolerant(decompress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    broken = False

    def read(chunk: bytes) -> bytes:
        nonlocal broken
        if broken:
            return b""
        try:
            return decompress(chunk)
        except zlib.error:
            broken = True
            return b""

    return read
