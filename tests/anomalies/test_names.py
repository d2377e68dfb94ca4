"""What results and names say by themselves."""

from __future__ import annotations

import pytest

from proofrig.anomalies.names import empty, looks, waits


@pytest.mark.parametrize(
    "result",
    [
        *("[]", '{"items": []}', '{"results": [], "total": 0, "next": null}', "[[], []]", '"[]"'),
        *("No results found.", "nothing found", "0 matches", "no matching items", "not found"),
        '{"content": [{"type": "text", "text": "[]"}], "isError": false}',
        '[{"type": "text", "text": "No results found"}]',
    ],
)
def test_a_result_that_says_that_there_is_nothing(result: str) -> None:
    assert empty(result.encode())


@pytest.mark.parametrize(
    "result",
    [
        *("ok", "0", "7", "false", "true", '"ok"', "done", "not allowed", "no", "null and void"),
        *('{"status": "pending"}', '[{"id": 1}]', '{"items": [], "error": "no such table"}'),
        *("no problems", "nothing to commit, working tree clean", "x" * 1000, '{"a": false}'),
        "No results found for 'x', but 3 in the archive: a, b, c",
    ],
)
def test_a_result_that_says_something(result: str) -> None:
    assert not empty(result.encode())


@pytest.mark.parametrize("result", ["", "null", "{}", '""', '{"result": null}', "None", "[null]"])
def test_a_tool_without_a_result_says_nothing_of_what_there_is(result: str) -> None:
    assert not empty(result.encode())


def test_what_is_not_kept_is_not_known_to_be_empty() -> None:
    assert not empty(None)


def test_what_is_no_text_is_not_empty_and_breaks_nothing() -> None:
    assert not empty(b"\xff\xfe\x00")
    assert empty(b"[" * 150 + b"]" * 150)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("tool.search", True), ("tool.get_order", True), ("tool.webSearch", True)),
        *(("tool.lint", False), ("tool.validate", False), ("tool.research", False)),
    ],
)
def test_names_that_look_for_something(name: str, expected: bool) -> None:
    assert looks(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("tool.sleep", True), ("tool.wait_for_job", True), ("tool.job-wait", True)),
        *(("tool.waiter", False), ("tool.asleep", False), ("tool.search", False)),
    ],
)
def test_names_that_wait(name: str, expected: bool) -> None:
    assert waits(name) == expected
