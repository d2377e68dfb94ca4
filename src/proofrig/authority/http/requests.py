"""Reading what comes in over HTTP: bodies, ids, scopes and parameters; all of it checked.

Rules:
1. A body is JSON in UTF-8, one object, each name once, no numbers that JSON does not have.
2. What is wrong raises `Wrong` with its status: never anything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from proofrig.authority.http import messages as m
from proofrig.authority.http.operations import PREFIX, Operation

MAX_BODY = 1 << 20

_SEE = f"see {PREFIX}/openapi.json for what this call takes"
_DEPTH = f"expected arguments at most {m.MAX_DEPTH} levels deep"

# What a pattern asks for, in words.
_WORDS: dict[Any, str] = {
    m.Id: f"an id: 1 to {m.MAX_ID} printable ASCII characters, the first a letter, a digit or _",
    m.Path: "a path such as tenant/workflow/agent/run, without spaces",
    m.Scope: "a path such as tenant/workflow, or a scope that begins with @, without spaces",
    m.OwnScope: "a scope that begins with @, such as @writes",
    m.Name: "a name <kind>.<what>, such as tool.refund",
    m.Unit: f"{m.UNITS}, taint:<label>",
    m.Booked: m.UNITS,
    m.Limited: f"{m.UNITS}, children; also with /minute, /hour or /day",
}
_PATTERNS = {
    f"`str` matching regex {kind.__metadata__[0].pattern!r}": words
    for kind, words in _WORDS.items()
}

B = TypeVar("B", bound=m.Body)


class Wrong(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, fault: m.Fault, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(fault.message)
        self.status = status
        self.fault = fault
        self.headers = headers


def _plainly(error: msgspec.ValidationError) -> str:
    said = str(error)
    for pattern, words in _PATTERNS.items():
        said = said.replace(pattern, words)
    return said


def bad(message: str) -> Wrong:
    """A 400."""
    return Wrong(400, m.Fault("bad_request", message))


class Reader:
    """Reads the bodies of one type."""

    def __init__(self, kind: type[B]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    async def read(self, request: web.Request) -> Any:
        """The body. Raises Wrong."""
        raw = await _raw(request)
        try:
            body = self._decode(raw)
            json.loads(raw, object_pairs_hook=_each_once)
        except msgspec.ValidationError as error:
            raise bad(f"body: {_plainly(error)}; {_SEE}") from None
        except RecursionError:
            raise bad(f"body: {_DEPTH}, got one much deeper; {_SEE}") from None
        except ValueError as error:  # not JSON, not UTF-8, a name twice
            raise bad(f"body: expected a JSON object in UTF-8, got: {error}; {_SEE}") from None
        arguments = getattr(body, "arguments", None)
        if arguments and _deeper(arguments, m.MAX_DEPTH):
            raise bad(f"body: {_DEPTH}, got deeper; {_SEE}")
        for amounts in (getattr(body, name, {}) for name in ("amounts", "actual", "ahead")):
            if not isinstance(body, m.Limits):
                _counted(amounts)
        return body


def _counted(amounts: Mapping[str, int]) -> None:
    for unit, amount in amounts.items():
        if not amount and re.match(m.COUNTED, unit):
            raise bad(f"body: {unit}: expected 1 or more, got 0; leave it out; {_SEE}")


async def nothing(request: web.Request) -> None:
    """For calls without a body: none, or an empty object."""
    if request.body_exists and (await request.read()).strip() not in (b"", b"{}"):
        raise bad(f"body: expected none, got one; {_SEE}")


async def _raw(request: web.Request) -> bytes:
    kind, charset = request.content_type, (request.charset or "utf-8").lower()
    if kind != "application/json" or charset not in ("utf-8", "utf8", "us-ascii"):
        said = f"expected application/json in UTF-8, got {request.headers.get('Content-Type')!r}"
        raise Wrong(415, m.Fault("unsupported_media_type", f"Content-Type: {said}"))
    coding = request.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        said = f"Content-Encoding: expected a body as it is, got {coding!r}; send it uncompressed"
        raise Wrong(415, m.Fault("unsupported_media_type", said))
    return await request.read()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:100]!r} twice in one object")
    return found


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return not levels or any(_deeper(part, levels - 1) for part in value.values())
    if isinstance(value, list):
        return not levels or any(_deeper(part, levels - 1) for part in value)
    return False


def checked(kind: Any, what: str, value: str) -> str:
    """`value` as a `kind` of text. Raises Wrong."""
    try:
        text: str = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise bad(f"{what}: {_plainly(error)}, got {value[:100]!r}; {_SEE}") from None
    return text


def decodable(request: web.Request) -> None:
    """Raises Wrong when the escapes in path or query are not UTF-8."""
    raw = request.rel_url.raw_path_qs
    if "%" in raw:
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise bad(f"{raw[:200]}: expected escapes of UTF-8, got other bytes") from None


def queried(operation: Operation, request: web.Request) -> dict[str, Any]:
    """The query parameters of a call. Raises Wrong."""
    given = request.query
    known = {query.name: query for query in operation.query}
    for name in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise bad(f"query: expected {names}, got {name[:100]!r}; {_SEE}")
        if len(given.getall(name)) > 1:
            raise bad(f"query: expected {name} once, got it {len(given.getall(name))} times")
    found: dict[str, Any] = {}
    for name, query in known.items():
        value = given.get(name)
        if value is None:
            if query.required:
                raise bad(f"query: expected the parameter {name}, got none; {_SEE}")
            found[name] = query.schema.get("default")
        else:
            found[name] = _parameter(name, value, query.schema)
    return found


def _parameter(name: str, value: str, schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return checked(m.Scope, f"query: {name}", value)
    if "enum" in schema:
        if value not in schema["enum"]:
            raise bad(f"query: expected {name}={'|'.join(schema['enum'])}, got {value[:100]!r}")
        return value
    low, high = schema["minimum"], schema["maximum"]
    if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise bad(f"query: expected {name} as an integer from {low} to {high}, got {value[:100]!r}")
    return int(value)
