from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from builders import evidence, world
from proofrig.verifiers.json_subset import JsonSubset


@pytest.mark.parametrize(
    ("value", "answer", "settings", "passed"),
    [
        ({"a": 1}, '{"b": 2, "a": 1}', {}, True),
        ({"a": 1}, '{"a": 1.0}', {}, True),
        ({"a": 1}, '{"a": true}', {}, False),
        ({"a": 1}, '{"a": "1"}', {}, False),
        ({"a": None}, "{}", {}, False),
        ({"a": {"b": [1]}}, '{"a": {"b": [1], "c": 2}}', {}, True),
        ({}, "[]", {}, False),
        ([1, 2], "[1, 2]", {}, True),
        ([1, 2], "[2, 1]", {}, False),
        ([1, 2], "[1, 2, 3]", {}, False),
        ([1, 2], "[2, 1]", {"lists": "unordered"}, True),
        ([1, 2], "[1, 2, 3]", {"lists": "unordered"}, False),
        ([1, 2], "[3, 2, 1]", {"lists": "subset"}, True),
        ([1, 1], "[1, 2]", {"lists": "unordered"}, False),
        # {} fits both items, so a greedy match would leave {"a": 1} without one
        ([{}, {"a": 1}], '[{"a": 1}, {"b": 1}]', {"lists": "unordered"}, True),
        ([{"a": 1}, {"a": 1}], '[{"a": 1}, {"b": 1}]', {"lists": "unordered"}, False),
        ({"a": 0.3}, '{"a": 0.30000000000000004}', {}, False),
        ({"a": 0.3}, '{"a": 0.30000000000000004}', {"tolerance": 1e-9}, True),
        ("caf\u00e9", '"cafe\u0301"', {}, True),
        ({"a": 1}, '```json\n{"a": 1}\n```', {}, True),
        ({"a": 1}, "a is 1", {}, False),
        ({"a": 1}, "\udcff", {}, False),
    ],
)
def test_json_subset(value: Any, answer: str, settings: dict[str, Any], passed: bool) -> None:
    assert JsonSubset(value=value, **settings).verify(evidence(answer)).passed is passed


def test_message_names_the_place() -> None:
    verdict = JsonSubset(value={"a": [{"b": 1}]}).verify(evidence('{"a": [{"b": 2}]}'))
    assert "$.a[0].b is 2, not 1" in verdict.message


def test_a_file_of_the_world(tmp_path: Path) -> None:
    world(tmp_path, {"out.json": '{"a": 1}', "broken.json": b'{"a": "\xff"}'})
    found = evidence("ignored", world=tmp_path)
    assert JsonSubset(value={"a": 1}, file="out.json").verify(found).passed is True
    assert JsonSubset(value={"a": "\ufffd"}, file="broken.json").verify(found).passed is True
    assert JsonSubset(value={"a": 1}, file="absent.json").verify(found).passed is False


@pytest.mark.parametrize(
    ("state", "passed"),
    [({"calls": 2, "more": 1}, True), ({"calls": 3}, False), ({}, False), (None, None)],
)
def test_what_the_tools_left(state: dict[str, Any] | None, passed: bool | None) -> None:
    wanted = JsonSubset(value={"calls": 2}, of="state")
    assert wanted.verify(evidence('{"calls": 2}', state=state)).passed is passed
    assert wanted.needs() == {"state"}


def test_a_state_that_was_not_kept_says_why() -> None:
    found = evidence(context={"no_state": "its payload was not kept"})
    verdict = JsonSubset(value={"calls": 2}, of="state").verify(found)
    assert verdict.passed is None
    assert verdict.message == (
        'expected JSON that holds {"calls": 2}; got no state (its payload was not kept)'
    )


def test_it_judges_one_thing() -> None:
    with pytest.raises(ValidationError, match="got both; keep one"):
        JsonSubset(value=1, of="state", file="out.json")
