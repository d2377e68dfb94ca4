"""Frames of RESP2 and RESP3, however they are cut."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.gateways.redis_protocol import Push, Reader, Refusal, Unreadable, words

FRAMES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"-ERR no\r\n", Refusal(b"ERR no")),
    (b":-12\r\n", -12),
    (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*0\r\n", [b"a", [1, None], []]),
    (b"_\r\n", None),
    (b"#t\r\n", True),
    (b"#f\r\n", False),
    (b",1.5\r\n", b"1.5"),
    (b"(12345678901234567890\r\n", b"12345678901234567890"),
    (b"!9\r\nERR\r\nmore\r\n", Refusal(b"ERR\r\nmore")),
    (b"=7\r\ntxt:abc\r\n", b"abc"),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", [b"a", 1, b"b", [2]]),
    (b"~2\r\n:1\r\n:2\r\n", [1, 2]),
    (b"|1\r\n+ttl\r\n:3\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n", [1, 2]),
]


def read(data: bytes, step: int) -> list[tuple[Any, int]]:
    reader = Reader()
    found = [one for at in range(0, len(data), step) for one in reader.feed(data[at : at + step])]
    assert reader.between
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1 << 20])
def test_every_frame_is_read_with_its_end(step: int) -> None:
    data, ends = b"", []
    for frame, _ in FRAMES:
        data += frame
        ends.append(len(data))
    found = read(data, step)
    assert [value for value, _ in found] == [value for _, value in FRAMES]
    assert [type(value) for value, _ in found] == [type(value) for _, value in FRAMES]
    assert [end for _, end in found] == ends


def test_a_push_is_told_from_a_reply() -> None:
    ((value, _),) = read(b">3\r\n+message\r\n+news\r\n$2\r\nhi\r\n", 4)
    assert isinstance(value, Push)
    assert value == [b"message", b"news", b"hi"]


def test_half_a_frame_is_not_between() -> None:
    for half in (b"$", b"$5\r\nab", b"*2\r\n:1\r\n", b"+O"):
        reader = Reader()
        assert list(reader.feed(half)) == []
        assert not reader.between


def test_commands_and_inline_words() -> None:
    said = b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\nPING\r\n  SET  k v \r\n"
    assert [words(value) for value, _ in read(said, 3)] == [
        [b"GET", b"a b"],
        [b"PING"],
        [b"SET", b"k", b"v"],
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"$x\r\n", "expected a number, got b'x'"),
        (b"$999999999999\r\n", "a value of 999999999999 bytes"),
        (b"*1\r\n?\r\n", "unknown type '\\?'"),
        (b"x" * 70_000, "a line without an end"),
    ],
)
def test_what_is_not_the_protocol_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        list(Reader().feed(data))


@pytest.mark.parametrize("frame", [b"GET", 12, [b"GET", 1], [[b"GET"]]])
def test_a_command_is_made_of_words(frame: Any) -> None:
    with pytest.raises(Unreadable, match="expected a command"):
        words(frame)
