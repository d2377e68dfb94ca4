from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builders import evidence, world
from proofrig.verifiers import judge
from proofrig.verifiers.json_schema import JsonSchema

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "mail": {"type": "string", "format": "email"}},
    "required": ["id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "passed", "says"),
    [
        ('{"id": 1}', True, ""),
        ('{"id": 1.0}', True, ""),
        ('\ufeff {"id": 1}\n', True, ""),
        ('```json\n{"id": 1}\n```', True, ""),
        ('Here it is:\n```\n{"id": 1}\n```\nBye', True, ""),
        ('```\n{"id": 1}\n```\n```\n{"id": 2}\n```', False, "not JSON"),
        ('{"id": "1"}', False, "$.id: '1' is not of type 'integer'"),
        ('{"id": true}', False, "is not of type 'integer'"),
        ("{}", False, "'id' is a required property"),
        ('{"id": 1, "x": 2}', False, "'x' was unexpected"),
        ('{"id": 1, "mail": "nobody"}', False, "'nobody' is not a 'email'"),
        ('{"id": 1', False, "not JSON"),
        ('{"id": NaN}', False, "NaN is not JSON"),
        ("", False, "empty"),
        ("[" * 100_000, False, "nested too deeply"),
        ("9" * 10_000, False, "not JSON"),
        ('{"id": "\udcff"}', False, "$.id"),
    ],
)
def test_json_schema(answer: str, passed: bool, says: str) -> None:
    verdict = JsonSchema(schema=ORDER).verify(evidence(answer))
    assert verdict.passed is passed
    assert says in verdict.message


def test_schema_and_instance_from_files(tmp_path: Path) -> None:
    world(tmp_path / "suite", {"s.json": '{"required": ["a"]}'})
    world(tmp_path / "world", {"good.json": '{"a": 1}', "bad.json": "{}"})

    def verdict(**settings: Any) -> bool | None:
        found = evidence(world=tmp_path / "world", suite_dir=tmp_path / "suite")
        return judge(JsonSchema(**settings), found).passed

    assert verdict(schema="s.json", file="good.json") is True
    assert verdict(schema="s.json", file="bad.json") is False
    assert verdict(schema="s.json", file="absent.json") is False
    assert verdict(schema="absent.json", file="good.json") is None


def test_references_stay_inside_the_schema() -> None:
    inside = {"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}}
    assert judge(JsonSchema(schema=inside), evidence("[1, 2]")).passed is True
    assert judge(JsonSchema(schema=inside), evidence('["a"]')).passed is False
    outside = {"$ref": "http://127.0.0.1:9/schema.json"}
    verdict = judge(JsonSchema(schema=outside), evidence("[1]"))
    assert verdict.passed is None
    assert "Unresolvable" in verdict.message


@pytest.mark.parametrize(
    ("state", "passed"), [({"id": 1}, True), ({"id": "1"}, False), ({}, False), (None, None)]
)
def test_what_the_tools_left(state: dict[str, Any] | None, passed: bool | None) -> None:
    wanted = JsonSchema(schema=ORDER, of="state")
    assert wanted.verify(evidence('{"id": 1}', state=state)).passed is passed
