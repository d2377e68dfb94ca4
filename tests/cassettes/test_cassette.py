"""Reading cassettes: what is wrong with one is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cassette_tapes import asks, call, chat, recorded, says, streamed
from proofrig.cassettes.cassette import Blobs, check, load
from proofrig.cassettes.manifest import EXCHANGES, SEALS
from proofrig.errors import UsageError

ANSWER = {"id": "r1", "choices": [{"message": {"content": "hello"}}]}


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "cassette"
    exchanges = [
        (call(chat("one")), says(ANSWER)),
        (call(chat("two", asks("c1", order=7)), trial="case:2"), says(ANSWER)),
        (
            call(chat("three", stream=True)),
            streamed([b'data: {"text":"a"}\n\n', b"data: [DONE]\n\n"]),
        ),
        (call(chat("four")), says({"big": "x" * 70_000})),
    ]
    await recorded(folder, exchanges)
    return folder


def edit(directory: Path, change: Callable[[list[str]], list[str]], file: str = EXCHANGES) -> None:
    path = directory / file
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def replaced(line: int, old: str, new: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        assert old in lines[line]
        lines[line] = lines[line].replace(old, new, 1)
        return lines

    return change


def told(directory: Path) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in check(directory)]


def test_a_recording_is_whole(directory: Path) -> None:
    cassette = load(directory)
    assert [exchange.n for exchange in cassette.exchanges] == [1, 2, 3, 4]
    assert (cassette.finished, cassette.torn) == (True, False)
    assert cassette.manifest.counts["exchanges"] == 4
    assert cassette.manifest.counts["trials"] == 2
    assert cassette.response(cassette.exchanges[2]).endswith(b"data: [DONE]\n\n")
    assert len(cassette.response(cassette.exchanges[3])) > 70_000


@pytest.mark.parametrize(
    ("line", "old", "new", "named"),
    [
        (
            0,
            '"content":"hello"',
            '"content":"goodbye"',
            "exchange 1 of trial case:1: response.choices[0].message.content is not as it was",
        ),
        (
            1,
            '"content":"two"',
            '"content":"to"',
            "exchange 2 of trial case:2: request.messages[0].content is not as it was",
        ),
        (
            1,
            '\\"order\\":7',
            '\\"order\\":8',
            "request.messages[1].tool_calls[0].function.arguments.order is not as it was",
        ),
        (0, '"status":200', '"status":500', "exchange 1 of trial case:1: status is not as it was"),
        (2, '\\"text\\":\\"a\\"', '\\"text\\":\\"b\\"', "response.event[0].text is not as it was"),
        (2, '"case:1"', '"case:9"', "exchange 3 of trial case:9: trial is not as it was"),
    ],
)
def test_an_edit_is_rejected_with_the_field_named(
    directory: Path, line: int, old: str, new: str, named: str
) -> None:
    edit(directory, replaced(line, old, new))
    ((where, message),) = told(directory)
    assert where == line + 1
    assert named in message
    with pytest.raises(UsageError, match=f"{EXCHANGES}:{line + 1}: .*\n.*proofrig cassette seal"):
        load(directory)


def test_an_edit_of_a_type_is_named_too(directory: Path) -> None:
    edit(directory, replaced(0, '"status":200', '"status":"200"'))
    messages = [message for _, message in told(directory)]
    assert any("status is not as it was recorded" in message for message in messages)
    assert any("Expected `int`, got `str`" in message for message in messages)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "exchange 1 is missing: its line was taken out"),
        (lambda lines: lines[:-1], "exchange 4 is missing"),
        (lambda lines: [*lines, lines[0]], "exchange 1 stands here and in line 1"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "lines were exchanged"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "the last line is cut off"),
        (lambda lines: ["nonsense\n", *lines], "expected an exchange"),
        (lambda lines: [lines[0].replace('{"n":1,', '{ "n":1,'), *lines[1:]], "was written anew"),
        (lambda lines: [lines[0].replace('{"n":1,', '{"n":9,'), *lines[1:]], "n is not as it was"),
    ],
)
def test_lines_that_were_moved_are_found(
    directory: Path, change: Callable[[list[str]], list[str]], said: str
) -> None:
    edit(directory, change)
    assert any(said in message for _, message in told(directory))


def test_an_edited_body_in_a_file_is_found(directory: Path) -> None:
    (blob,) = (directory / "blobs").iterdir()
    blob.write_text("other")
    ((line, message),) = told(directory)
    assert line == 4
    assert message.endswith(f"response: blobs/{blob.name} was edited")
    blob.unlink()
    assert told(directory)[0][1].endswith(f"response: blobs/{blob.name} is missing")


def test_all_problems_are_told_at_once(directory: Path) -> None:
    edit(directory, replaced(0, '"hello"', '"x"'))
    edit(directory, replaced(1, '"hello"', '"y"'))
    assert [line for line, _ in told(directory)] == [1, 2]


def test_without_leaf_seals_an_edit_is_still_found(directory: Path) -> None:
    (directory / SEALS).unlink()
    assert told(directory) == []
    edit(directory, replaced(0, '"hello"', '"x"'))
    assert "exchange 1 of trial case:1" in told(directory)[0][1]


def test_a_blobs_name_is_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    assert "../secret" not in Blobs(tmp_path)


def test_other_ends_of_lines_change_nothing(directory: Path) -> None:
    for name in (EXCHANGES, SEALS):
        path = directory / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert check(directory) == []
