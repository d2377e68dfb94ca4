"""The document says what the service takes and gives."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from proofrig.authority.http import messages as m
from proofrig.authority.http.openapi import document
from proofrig.authority.http.operations import OPERATIONS

KEYED, OPEN = document(True), document(False)


def operations(made: dict[str, Any]) -> dict[str, Any]:
    return {told["operationId"]: told for path in made["paths"].values() for told in path.values()}


def test_it_names_every_operation_once() -> None:
    assert sorted(operations(OPEN)) == sorted(operation.name for operation in OPERATIONS)


def test_every_reference_leads_somewhere() -> None:
    names = [part.split('"')[0] for part in json.dumps(OPEN).split("#/components/schemas/")[1:]]
    assert names and set(names) <= OPEN["components"]["schemas"].keys()


def test_a_key_is_asked_for_only_where_there_are_keys() -> None:
    secured = {name for name, told in operations(KEYED).items() if "security" in told}
    assert secured == {operation.name for operation in OPERATIONS if not operation.public}
    assert not any("security" in told for told in operations(OPEN).values())
    assert all("401" in operations(KEYED)[name]["responses"] for name in secured)


def test_every_answer_has_a_body_and_every_error_an_example() -> None:
    for name, told in operations(KEYED).items():
        for status, answer in told["responses"].items():
            content = answer["content"]["application/json"]
            assert answer["description"], (name, status)
            if content["schema"] == {"$ref": "#/components/schemas/Error"}:
                msgspec.convert(content["example"], m.Error)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.body], ids=lambda o: o.name)
def test_every_example_is_taken(operation: Any) -> None:
    msgspec.convert(operation.example, operation.body)
    content = operations(OPEN)[operation.name]["requestBody"]["content"]["application/json"]
    schema = content["schema"] | {"components": OPEN["components"]}
    jsonschema.validate(content["example"], schema)


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ({}, True),
        ({"amounts": {"calls:": 1}}, False),
        ({"amounts": {"apples": 1}}, False),
        ({"amounts": {"tokens": -1}}, False),
        ({"amounts": {"tokens": 1 << 53}}, False),
        ({"amounts": {"tokens/minute": 1}}, False),
        ({"amounts": {"calls:tool.x": 1, "taint:web": 1, "calls": 0}}, True),
        ({"also": ["writes"]}, False),
        ({"scope": "@writes"}, False),
        ({"scope": "acme//x"}, True),
        ({"scope": "acme/"}, False),
        ({"id": ".."}, False),
        ({"other": 1}, False),
    ],
)
def test_the_document_and_the_service_agree_on_bodies(body: dict[str, Any], fits: bool) -> None:
    whole = {"id": "a", "scope": "s", "name": "a.b", "amounts": {}} | body
    schema = {"$ref": "#/components/schemas/Reserve", "components": OPEN["components"]}
    assert jsonschema.Draft202012Validator(schema).is_valid(whole) == fits
    try:
        msgspec.convert(whole, m.Reserve)
    except msgspec.ValidationError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize("unit", ["calls:tool.x", "taint:web"])
def test_the_document_says_that_what_rules_count_is_at_least_1(unit: str) -> None:
    whole = {"id": "a", "scope": "s", "name": "a.b", "amounts": {unit: 0}}
    schema = {"$ref": "#/components/schemas/Reserve", "components": OPEN["components"]}
    assert not jsonschema.Draft202012Validator(schema).is_valid(whole)
