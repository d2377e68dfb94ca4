"""`json_schema`: the answer, or a file of the world, is JSON that a schema accepts.

Rules:
1. The schema is written in the case, or is the name of a JSON file of the suite.
2. The answer may stand in one code fence; nothing else may stand around it.
3. The draft is the one the schema names, else 2020-12; formats are checked. References stay inside
   the schema: nothing is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import Field, field_validator

from proofrig.verifiers._values import read_json, show
from proofrig.verifiers._world import Unreadable, answer_or_file, relative, suite_file
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


class JsonSchema(Verifier):
    """The JSON is valid under `schema`. `file`: judge this file of the world, not the answer."""

    type: Literal["json_schema"] = "json_schema"
    schema_: dict[str, Any] | bool | str = Field(alias="schema")
    file: str = ""

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return relative(file) if file else file

    @field_validator("schema_")
    @classmethod
    def _is_schema(cls, schema: Any) -> Any:
        if isinstance(schema, dict):
            _validator(schema)
        return schema

    def needs(self) -> frozenset[str]:
        return frozenset({"world"} if self.file else ())

    def verify(self, evidence: Evidence) -> Verdict:
        schema = self.schema_
        expected = f"JSON under {schema if isinstance(schema, str) else show(schema)}"
        if isinstance(schema, str):
            schema = msgspec.json.decode(suite_file(evidence, schema).read_bytes())
        try:
            value, reason = read_json(answer_or_file(evidence, self.file))
        except Unreadable as error:
            return self.verdict(False, expected=expected, got=str(error))
        if reason:
            return self.verdict(False, expected=expected, got=show(evidence.answer), why=reason)
        errors = sorted(_validator(schema).iter_errors(value), key=lambda e: len(e.absolute_path))
        why = "; ".join(f"{error.json_path}: {error.message}" for error in errors[:3])
        return self.verdict(not errors, expected=expected, got=show(value), why=why)


def _validator(schema: Any) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"expected a JSON Schema: {error.json_path}: {error.message}") from None
    validator: Validator = kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
    return validator
