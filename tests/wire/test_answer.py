"""Answers as they are read, remade and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from multidict import CIMultiDict

from proofrig.wire.answer import (
    Answer,
    Cut,
    Made,
    chunks,
    length_of,
    read,
    rebodied,
    rechunked,
    streams,
)


class Came:
    """An answer from elsewhere: its chunks, and what breaks it."""

    reason: str | None = "Fine"

    def __init__(
        self,
        parts: list[bytes],
        headers: Mapping[str, str] | None = None,
        breaks: Exception | None = None,
    ) -> None:
        self.status = 200
        self.headers: CIMultiDict[str] = CIMultiDict(headers or {})
        self.closed = 0
        self._parts = list(parts)
        self._breaks = breaks

    async def readany(self) -> bytes:
        if self._parts:
            return self._parts.pop(0)
        if self._breaks is not None:
            raise self._breaks
        return b""

    def close(self) -> None:
        self.closed += 1


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def all_chunks(answer: Answer) -> list[bytes]:
    return [chunk async for chunk in chunks(answer)]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Made(200, b"body"), [b"body"]),
        (Made(200, b""), []),
        (Made(200), []),
        (Made(200, pieces(b"a", b"bc")), [b"a", b"bc"]),
        (Made(200, pieces(b"", b"a", b"", b"b", b"")), [b"a", b"b"]),
        (Made(200, pieces()), []),
    ],
)
async def test_a_body_comes_chunk_by_chunk_and_ends(made: Made, expected: list[bytes]) -> None:
    assert await all_chunks(made) == expected
    assert await made.readany() == b""
    made.close()


@pytest.mark.parametrize(
    ("answer", "length"),
    [
        (Made(200, b"body"), 4),
        (Made(200, b"body", length=9), 9),
        (Made(200, b"body", {"Content-Length": "77"}), 4),
        (Made(200, pieces(b"a")), -1),
        (Made(200, pieces(b"a"), length=1), 1),
        (Came([], {"content-length": "12"}), 12),
        (Came([]), -1),
        (Came([], {"content-length": "many"}), -1),
    ],
)
def test_what_the_head_says_of_the_length(answer: Answer, length: int) -> None:
    assert length_of(answer) == length


def test_headers_are_found_however_they_are_written() -> None:
    made = Made(200, b"", {"Retry-After": "2", "Content-Length": "9"})
    assert made.headers.get("retry-after") == "2" and "content-length" not in made.headers


async def test_the_chunks_are_changed_and_the_rest_is_the_same() -> None:
    async def doubled(given: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in given:
            yield chunk * 2

    came = Came([b"ab", b"c"], {"Content-Length": "3", "X-A": "1"})
    made = rechunked(came, doubled)
    assert (made.status, made.reason, made.headers["x-a"]) == (200, "Fine", "1")
    assert (await all_chunks(made), length_of(made)) == ([b"abab", b"cc"], 3)
    assert length_of(rechunked(Made(200, b"xyz"), doubled)) == 3
    assert length_of(rechunked(Came([]), doubled)) == -1


async def test_a_body_is_put_in_the_place_of_another() -> None:
    headers = {"Content-Type": "text/html", "Content-Encoding": "gzip", "Content-Length": "9"}
    came = Came([b"zipped"], headers)
    made = rebodied(came, b"plain", content_type="application/json")
    assert (await read(made), length_of(made), made.reason) == (b"plain", 5, "Fine")
    assert {name.lower(): value for name, value in made.headers.items()} == {
        "content-type": "application/json"
    }
    assert rebodied(came, b"").headers["content-type"] == "text/html"


async def test_whoever_is_behind_is_closed_with_it() -> None:
    came = Came([b"a", b"b"])
    made = rebodied(rechunked(came, lambda given: given), b"other")
    assert came.closed == 0
    made.close()
    assert came.closed == 1
    Made(200, b"of its own").close()


@pytest.mark.parametrize("error", [Cut("close"), Cut(), ConnectionError("gone")])
async def test_what_breaks_behind_breaks_in_front(error: Exception) -> None:
    made = rechunked(Came([b"a", b"b"], breaks=error), lambda given: given)
    assert [await made.readany(), await made.readany()] == [b"a", b"b"]
    with pytest.raises(type(error)):
        await made.readany()
    with pytest.raises(type(error)):
        await read(Came([b"a"], breaks=error))


def test_how_it_is_cut() -> None:
    assert (Cut().how, Cut("close").how) == ("reset", "close")


@pytest.mark.parametrize(
    ("kind", "is_stream"),
    [
        ("text/event-stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_server_sent_events_are_known_by_their_type(kind: str, is_stream: bool) -> None:
    assert streams(Made(200, b"", {"Content-Type": kind} if kind else None)) is is_stream
