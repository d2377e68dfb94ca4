"""SSE: line ends, comments, BOM, several data lines, characters cut in two, unfinished events."""

from __future__ import annotations

import pytest

from proofrig.wire.sse import Event, EventReader, EventSplitter, encode_event, parse_event


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood_in_any_chunking(end: bytes) -> None:
    body = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    expected = [Event("a", b"1"), Event("", b"2")]
    assert read(body) == expected
    assert read(*(body[i : i + 1] for i in range(len(body)))) == expected


def test_a_crlf_cut_in_two_ends_one_line_not_two() -> None:
    assert read(b"data: 1\r", b"\ndata: 2\r\n\r", b"\ndata: 3\r\n\r\n") == [
        Event("", b"1\n2"),
        Event("", b"3"),
    ]


def test_data_lines_are_joined_and_lose_one_space_only() -> None:
    assert read(b"data:  two\ndata:none\ndata\n\n") == [Event("", b" two\nnone\n")]


def test_comments_unknown_fields_and_events_without_data_are_passed_over() -> None:
    assert read(b": keep-alive\n\nretry: 5\nid: 7\ndata: x\n\nevent: lonely\n\n\n\n") == [
        Event("", b"x")
    ]


def test_a_byte_order_mark_before_the_first_field_is_no_part_of_it() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: x\n\n") == [Event("", b"x")]


def test_a_character_cut_over_two_chunks_stays_whole() -> None:
    euro = "€".encode()
    assert read(b"data: " + euro[:1], euro[1:] + b"\n\n") == [Event("", euro)]


def test_other_unicode_line_separators_are_data() -> None:
    data = "a\u2028b\u0085c\x0bd".encode()
    assert read(b"data: " + data + b"\n\n") == [Event("", data)]


def test_an_event_the_end_cut_off_is_held_and_not_an_event() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\ndata: 2\n") == [b"data: 1\n\n"]
    assert splitter.held() == b"data: 2\n"
    assert splitter.held() == b""


def test_the_splitter_loses_nothing() -> None:
    body = b"\n\ndata: a\r\n\r\n:c\r\rdata: b\n\r\n\ndata: tail"
    for size in range(1, len(body) + 1):
        splitter = EventSplitter()
        blocks = [b for i in range(0, len(body), size) for b in splitter.feed(body[i : i + size])]
        assert b"".join(blocks) + splitter.held() == body


@pytest.mark.parametrize("data", [b"", b"{}", b"a\nb", b"a\r\nb\n", b"\n", b" lead"])
@pytest.mark.parametrize("name", ["", "message_stop"])
def test_what_is_encoded_is_read_again(name: str, data: bytes) -> None:
    read_data = data.replace(b"\r\n", b"\n")
    assert parse_event(encode_event(data, name)) == Event(name, read_data)
