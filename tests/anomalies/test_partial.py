"""An answer and a text that came incomplete in, whether it was passed off out."""

from __future__ import annotations

import pytest

from proofrig.anomalies.partial import (
    excused,
    passed_off,
    text_of_result,
    text_of_turn,
)

PART = "The three biggest cities are Berlin with 3.7 million, Hamburg with"


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (PART, True),
        (f"  {PART}\n", True),
        (f"Here is what you asked for.\n\n{PART}", True),
        (f"{PART} 1.9 million, and Munich with 1.5 million.", False),
        (f"{PART}\n\nThe answer was cut off here; ask me again for the rest.", False),
        (f"The connection broke off, so this is incomplete:\n{PART}", False),
        ("I could not get the list of cities.", False),
        ("", False),
    ],
)
def test_an_answer_that_ends_in_a_partial_text(answer: str, passed: bool) -> None:
    assert passed_off(answer, PART) is passed


def test_words_of_the_text_itself_do_not_excuse_it() -> None:
    text = "The import failed for two files: the first has an error in line 7, the second in"
    assert passed_off(text, text)


def test_a_long_text_is_known_by_its_end() -> None:
    long = " ".join(f"word{n}" for n in range(500))
    assert passed_off(f"In short: {long.split('word100 ')[1]}", long)


@pytest.mark.parametrize(("answer", "passed"), [("4", True), ("It is 4", False), ("5", False)])
def test_of_a_short_text_only_the_whole_answer_counts(answer: str, passed: bool) -> None:
    assert passed_off(answer, "4") is passed


def test_nothing_came_so_nothing_is_passed_off() -> None:
    assert not passed_off("done", "")
    assert not passed_off("", "")


def test_what_came_whole_later_is_excused() -> None:
    assert excused(PART, ["something else", f"{PART} 1.9 million."])
    assert not excused(PART, ["something else"])


def test_texts_are_read_out_of_what_is_kept() -> None:
    assert text_of_turn(b'{"api":"messages","text":"so far"}') == "so far"
    assert text_of_turn(None) == text_of_turn(b"<html>") == ""
    content = b'{"content":[{"type":"text","text":"a"},{"type":"image"},{"text":"b"}]}'
    assert text_of_result(content) == "a\n\nb"
    assert text_of_result(b'"plain"') == "plain"
    assert text_of_result(b'{"rows": [1, 2') == '{"rows": [1, 2'
    assert text_of_result(None) == ""
