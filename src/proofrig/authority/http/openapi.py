"""The OpenAPI 3.1 document of the authority's HTTP service.

Rules:
1. Made from `operations.OPERATIONS` and the structs of `messages`: nothing is said twice.
2. An id may come in the header Idempotency-Key in the place of the body's; the document says so in
   words and requires it in the body, as JSON Schema has no "here or there".
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, get_args

import msgspec

from proofrig.authority.http import messages as m
from proofrig.authority.http.operations import KEY_HEADER, OPERATIONS, PREFIX, Operation

_REF = "#/components/schemas/{name}"
_SAYS = {
    400: "The body, an id, a scope or a parameter is not what it has to be.",
    401: "No key, or one that is nobody's.",
    403: "The key may not do this, or not here.",
    404: "No such reservation, or it ended too long ago.",
    409: "Another payload under the same id, or a move that the table does not have.",
    410: "The hold ran out; says what was charged. Book what is above by an event.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    503: "It cannot be written down; `definite` says whether the call certainly moved nothing.",
}
_FAULTS: dict[int, m.FaultType] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    410: "expired",
    413: "too_large",
    415: "unsupported_media_type",
    503: "unavailable",
}
_WAIT_HEADER = {
    "Retry-After": {"description": "In how many seconds, when known.", "schema": {"type": "string"}}
}


def document(keyed: bool) -> dict[str, Any]:
    """The document; keyed: calls need an API key."""
    structs = sorted(_structs(), key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(structs, ref_template=_REF)
    for name in ("Reserve", "Event"):
        components[name]["required"] = ["id", *components[name]["required"]]
        components[name]["properties"]["id"].pop("default", None)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _described(
            operation, keyed
        )
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "proofrig authority",
            "version": metadata.version("proofrig"),
            "description": (
                "Reserve, start, commit: permission and budget for every action. The same call "
                f"again gets the same answer. A body's id may also come as {KEY_HEADER}."
            ),
        },
        "paths": paths,
        "components": {"schemas": _plain(components)},
    }
    if keyed:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return made


def _described(operation: Operation, keyed: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "responses": {
            str(status): _answer(status, body, operation)
            for status, body in sorted(_answers(operation, keyed).items())
        },
    }
    if keyed and not operation.public:
        told["security"] = [{"key": []}]
        if operation.admin:
            told["description"] = "Needs an administrator's key."
    parameters = [
        _path_parameter(name) for name in ("id", "scope") if f"{{{name}}}" in operation.path
    ]
    for query in operation.query:
        schema = _schema_of(m.Scope) if query.schema == {"$ref": "Scope"} else query.schema
        parameters.append(
            {"name": query.name, "in": "query", "required": query.required, "schema": schema}
        )
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        schema = {"$ref": _REF.format(name=operation.body.__name__)}
        content: dict[str, Any] = {"schema": schema}
        if operation.example:
            content["example"] = operation.example
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told


def _path_parameter(name: str) -> dict[str, Any]:
    schema = _schema_of(m.Id if name == "id" else m.Scope)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _answers(operation: Operation, keyed: bool) -> dict[int, Any]:
    errors = set(operation.errors)
    if not operation.public:
        errors |= {400, 503} | ({401, 403} if keyed else set())
    if operation.body is not None:
        errors |= {413, 415}
    return dict.fromkeys(errors, m.Error) | operation.answers


def _answer(status: int, body: Any, operation: Operation) -> dict[str, Any]:
    kinds = get_args(body) or (body,)
    refs = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds]
    content: dict[str, Any] = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
    if kinds == (m.Error,):
        said = m.Error(m.Fault(_FAULTS[status], _SAYS[status]))
        content["example"] = msgspec.to_builtins(said)
    about = _SAYS.get(status, "") if m.Error in kinds else (kinds[0].__doc__ or "")
    told: dict[str, Any] = {
        "description": " ".join(about.split()) or operation.says,
        "content": {"application/json": content},
    }
    if status in (429, 503):
        told["headers"] = _WAIT_HEADER
    return told


def _structs() -> set[Any]:
    """Every struct that the table names."""
    found: set[Any] = {m.Error}
    for operation in OPERATIONS:
        found |= {operation.body} - {None}
        for body in operation.answers.values():
            found |= set(get_args(body) or (body,))
    return found


def _schema_of(kind: Any) -> dict[str, Any]:
    schema: dict[str, Any] = _plain(msgspec.json.schema(kind))
    return schema


def _plain(value: Any) -> Any:
    """Patterns as JSON Schema reads them, where `$` is the end and nothing else; and amounts with
    the least that their units may have."""
    if isinstance(value, dict):
        units = value.get("propertyNames", {}).get("pattern", "").replace(m.END, "$")
        if units and "children" not in units:
            amount = value["additionalProperties"]
            kinds = {m.PLAIN: amount, f"(?={m.COUNTED}){units}": amount | {"minimum": 1}}
            rest = {name: part for name, part in value.items() if name != "propertyNames"}
            return rest | {"patternProperties": kinds, "additionalProperties": False}
        return {
            name: part.replace(m.END, "$") if name == "pattern" else _plain(part)
            for name, part in value.items()
        }
    return [_plain(part) for part in value] if isinstance(value, list) else value
