"""`json_schema`: a schema accepts the answer, a file of the world, or the tools' state.

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

from proofrig.verifiers._json import JsonVerifier
from proofrig.verifiers._values import show
from proofrig.verifiers._world import suite_file
from proofrig.verifiers.verifier import Evidence

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


class JsonSchema(JsonVerifier):
    """The JSON is valid under `schema`. `file`: judge this file of the world, not the answer;
    `of: state`: judge what the tools left."""

    type: Literal["json_schema"] = "json_schema"
    schema_: dict[str, Any] | bool | str = Field(alias="schema")

    @field_validator("schema_")
    @classmethod
    def _is_schema(cls, schema: Any) -> Any:
        if isinstance(schema, dict):
            _validator(schema)
        return schema

    def expected(self) -> str:
        return f"JSON under {self.schema_ if isinstance(self.schema_, str) else show(self.schema_)}"

    def wrong(self, found: Any, evidence: Evidence) -> str:
        schema = self.schema_
        if isinstance(schema, str):
            schema = msgspec.json.decode(suite_file(evidence, schema).read_bytes())
        errors = sorted(_validator(schema).iter_errors(found), key=lambda e: len(e.absolute_path))
        return "; ".join(f"{error.json_path}: {error.message}" for error in errors[:3])


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
