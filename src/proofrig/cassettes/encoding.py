"""Compressed bodies as what they hold, where that can be read here: gzip and deflate.

Rules:
1. A body that was cut off holds what came of it.
2. What would take more than `MOST` bytes is not read.
"""

from __future__ import annotations

import zlib

READ = frozenset(("gzip", "x-gzip", "deflate"))
MOST = 64 << 20
_GZIP, _ZLIB, _RAW = 31, 15, -15  # how zlib is told which


def decoded(data: bytes, encoding: str) -> bytes | None:
    """What a body holds; None when it cannot be read."""
    encoding = encoding.strip().lower()
    if encoding not in READ:
        return None
    for bits in (_GZIP,) if "gzip" in encoding else (_ZLIB, _RAW):
        reader = zlib.decompressobj(bits)
        try:
            plain = reader.decompress(data, MOST)
        except zlib.error:
            continue
        return None if reader.unconsumed_tail else plain or None
    return None


def readable(accepted: str) -> str:
    """An `Accept-Encoding` with nothing in it but what can be read here."""
    wanted = (part.strip() for part in accepted.split(","))
    kept = [part for part in wanted if part.partition(";")[0].strip().lower() in READ]
    return ", ".join(kept) or "identity"
