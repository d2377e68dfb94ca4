"""Compressed bodies, and what may be accepted where they are recorded."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proofrig.cassettes.encoding import MOST, decoded, readable

PLAIN = b"what it holds, " * 99


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0), " X-GZIP"),
        (zlib.compress(PLAIN), "deflate"),
        (raw_deflate(PLAIN), "deflate"),
    ],
)
def test_what_can_be_read(data: bytes, encoding: str) -> None:
    assert decoded(data, encoding) == PLAIN
    cut = decoded(data[:-9], encoding)
    assert cut is not None and PLAIN.startswith(cut[:15])


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"?", "br"),
        (b"no gzip", "gzip"),
        (b"?", "gzip"),
        (b"", "gzip"),
        (gzip.compress(b"x", mtime=0), ""),
    ],
)
def test_what_cannot(data: bytes, encoding: str) -> None:
    assert decoded(data, encoding) is None


def test_what_would_take_all_memory_is_not_read() -> None:
    assert decoded(gzip.compress(bytes(MOST + 1), 1), "gzip") is None


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("br;q=1.0, gzip;q=0.8", "gzip;q=0.8"),
        ("br", "identity"),
        ("", "identity"),
    ],
)
def test_only_what_can_be_read_is_accepted(accepted: str, left: str) -> None:
    assert readable(accepted) == left
