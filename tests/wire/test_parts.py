"""Content to text, arguments to text and objects, pacing, splicing."""

from __future__ import annotations

import pytest

from proofrig.wire.codec import WireError
from proofrig.wire.parts import (
    Pace,
    error_text,
    json_object,
    json_text,
    pieces,
    result_of,
    splice,
    text_of,
    unix_seconds,
)
from proofrig.wire.turn import ToolResult, Usage


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        (None, ""),
        (7, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, "b"], "ab"),
        ([{"type": "odd", "text": {"nested": 1}}, None, 3], ""),
    ],
)
def test_content_of_any_kind_gives_its_text(content: object, text: str) -> None:
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a\n", "a\n"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "ORD-1"}], "ORD-1"),
        ([{"type": "text", "text": "ORD-1"}, {"type": "text", "text": "ORD-2"}], "ORD-1\nORD-2"),
        ([{"type": "image"}, {"type": "text", "text": "a"}, {"type": "image"}, "b", None], "a\nb"),
        (["a", "", "b"], "a\n\nb"),
    ],
)
def test_the_texts_of_a_result_stand_one_per_line(content: object, text: str) -> None:
    assert result_of("c", content) == ToolResult("c", text)


def test_arguments_that_are_not_text_become_json() -> None:
    assert json_text({"a": 1}) == '{"a":1}'
    assert json_text('{"a": 1') == '{"a": 1'
    assert json_text(None) == ""


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ('{"a":  1}', b'{"a":  1}'),
        ("", b"{}"),
        ('{"a": 1', b'{"INVALID_JSON":"{\\"a\\": 1"}'),
        ("[1]", b'{"INVALID_JSON":"[1]"}'),
    ],
)
def test_an_object_keeps_its_bytes_and_anything_else_is_wrapped(text: str, wire: bytes) -> None:
    assert bytes(json_object(text)) == wire


def test_an_error_says_its_message_or_what_it_has() -> None:
    assert error_text({"message": "no", "code": "x"}) == "no"
    assert error_text({"code": "x"}) == "x"
    assert error_text({"odd": 1}) == '{"odd":1}'
    assert error_text("plain") == "plain"


@pytest.mark.parametrize(("value", "seconds"), [(5, 5), (5.9, 5), (None, 0), ("5", 0)])
def test_times_are_whole_seconds_or_none(value: object, seconds: int) -> None:
    assert unix_seconds(value) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "a b  c\n", "averyveryverylongword", "  x", "日本語の文"]
)
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


def test_tokens_dealt_to_pieces_add_up_to_the_usage() -> None:
    pace = Pace(3, Usage(output=10))
    assert [pace.next() for _ in range(3)] == [3, 3, 4]
    pace = Pace(3, None)
    assert [pace.next() for _ in range(3)] == [1, 1, 1]


def test_splicing_keeps_the_bytes_and_the_order_of_everything_else() -> None:
    body = b'{"b": [1,  2.50, "\\u00e9"], "max": 1, "a": {"x":1e3}}'
    assert splice(body, max=5, new="n") == (
        b'{"b":[1,  2.50, "\\u00e9"],"max":5,"a":{"x":1e3},"new":"n"}'
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": \xff}', b"<html>"])
def test_splicing_into_what_is_no_object_says_so(body: bytes) -> None:
    with pytest.raises(WireError, match="expected a request object as JSON, got"):
        splice(body, a=1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(7, 7), (7.9, 7), (None, 0), ("7", 0), (-1, 0), (1e300, 0), (float("inf"), 0), (10**40, 0)],
)
def test_unix_seconds(value: object, seconds: int) -> None:
    assert unix_seconds(value) == seconds
