"""Reading what a provider compressed."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proofrig.gateways.decoding import reader_of

TEXT = b'{"hello":"world"}' * 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("X-GZip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_any_chunking_reads_the_same(encoding: str, body: bytes, size: int) -> None:
    read = reader_of(encoding)
    assert read is not None
    chunks = [body[place : place + size] for place in range(0, len(body), size)]
    assert b"".join([read(chunk) for chunk in chunks]) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_compressed_as_it_says_reads_as_nothing(encoding: str) -> None:
    read = reader_of(encoding)
    assert read is not None
    assert [read(TEXT), read(TEXT)] == [b"", b""]


@pytest.mark.parametrize("encoding", ["", "identity", "br", "zstd", "gzip, br"])
def test_what_is_plain_or_unknown_is_not_read_otherwise(encoding: str) -> None:
    assert reader_of(encoding) is None
