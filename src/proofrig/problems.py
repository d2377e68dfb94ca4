"""pydantic's errors -> problems with a place in a file and something to do.

Rules:
1. A place is the value that is wrong; for an unknown key the key, for a missing one the mapping.
2. The way to a value is followed through the JSON Schema of the model, because pydantic's own
   mixes keys with the names of union members.
3. An unknown key or choice says what was probably meant, and what is known.
4. Where several forms are allowed, the form that got furthest is the one that was meant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proofrig.errors import Problem

Path = tuple[str | int, ...]
Schema = Mapping[str, Any]

UNSEEN: Any = object()  # a value built in Python, of which only the errors are known


class Placed(Protocol):
    """A document that knows where its parts stand."""

    @property
    def file(self) -> str: ...

    def at(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, 0 when unknown, of the value at `path`, or of its key."""


class Origin:
    """Where a value that is validated on its own stands: a document, a path, a name for people."""

    def __init__(self, document: Placed, path: Path = (), label: str = "") -> None:
        self.document = document
        self.path = path
        self.label = label

    def problem(
        self, message: str, path: Path = (), *, key: bool = False, hint: str = ""
    ) -> Problem:
        """A problem at `path` below this place."""
        line, column = self.document.at((*self.path, *path), key=key)
        text = f"{self.label}: {message}" if self.label else message
        return Problem(text, self.document.file, line, column, hint)


def shown_path(path: FilePath) -> str:
    """A path as people know it: relative to where they stand when it lies below."""
    try:
        return str(path.resolve().relative_to(FilePath.cwd()))
    except ValueError:
        return str(path)


def problems_of(
    error: ValidationError, schema: Schema, value: Any, origin: Origin
) -> list[Problem]:
    """Every problem in `error`, which came from validating `value` against a model with the JSON
    Schema `schema`, in the order of the file."""
    details = error.errors(include_url=False)
    followed = [_Followed(one, schema, value) for one in details if not _counted_bad(one, details)]
    found = {}
    for one in followed:
        if one.fork is not None:
            rivals = [other for other in followed if other.fork == one.fork]
            furthest = max(len(other.path) for other in rivals)
            if one.form not in {other.form for other in rivals if len(other.path) == furthest}:
                continue
            if len(alike := [other for other in rivals if other.path == one.path]) > 1:
                words = [other.expected() for other in alike]
                if all(words):
                    said = f"expected {' or '.join(dict.fromkeys(words))}, got {_shown(one.input)}"
                    found[one.path, said] = origin.problem(_at(one.path, said), one.path)
                    continue
                if one.expected():  # another form takes values of this type, and says more
                    continue
        message, hint = one.words()
        found[one.path, message] = origin.problem(
            _at(one.path[:-1] if one.is_key else one.path, message),
            one.path,
            key=one.is_key,
            hint=hint,
        )
    return sorted(found.values(), key=lambda problem: (problem.line, problem.column))


def _counted_bad(one: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether a list is too short only because pydantic did not count its items that are wrong."""
    length = len(one["loc"])
    return one["type"] == "too_short" and any(
        len(other["loc"]) > length and other["loc"][:length] == one["loc"] for other in details
    )


class _Followed:
    """One error, its `loc` resolved to a path in the document and a place in the schema."""

    def __init__(self, detail: ErrorDetails, schema: Schema, value: Any) -> None:
        self._root = schema
        self.kind = detail["type"]
        self.input = detail["input"]
        self._message = detail["msg"]
        self._context = detail.get("ctx", {})
        self._last = detail["loc"][-1] if detail["loc"] else ""
        self.is_key = self.kind == "extra_forbidden"
        self.fork: Path | None = None  # where an undiscriminated union was entered
        self.form: str | int = ""  # and by which of its members
        path: list[str | int] = []
        node = _resolved(schema, schema)
        self.holder = node
        for place, part in enumerate(detail["loc"]):
            tags = _tags(node)
            if isinstance(part, str) and part in tags:
                node = self.holder = _resolved({"$ref": tags[part]}, schema)
            elif _holds(value, part) or (value is UNSEEN and _child(node, part, schema)):
                self.holder, node = node, _child(node, part, schema)
                path.append(part)
                value = UNSEEN if value is UNSEEN else value[part]
            elif self.is_key and place == len(detail["loc"]) - 1:
                path.append(part)
            elif part == "[key]":
                self.is_key = True
            elif self.fork is None and (self.kind != "missing" or place < len(detail["loc"]) - 1):
                self.fork, self.form = tuple(path), part
        if self.kind != "missing" and path and not self.is_key:
            self.holder = node
        self.path: Path = tuple(path)

    def expected(self) -> str:
        """What a value of the wrong type should have been; "" when the error is another."""
        return _TYPES.get(self.kind, "")

    def words(self) -> tuple[str, str]:
        """The message and the hint."""
        shown = _shown(self.input)
        if self.kind == "extra_forbidden":
            return f"unknown key `{self._last}`", _meant(
                str(self._last), _keys(self.holder, self._root)
            )
        if self.kind == "missing":
            return f"`{self._last}` is missing", _described(self.holder, str(self._last))
        if self.kind in ("union_tag_invalid", "union_tag_not_found"):
            key = str(self._context.get("discriminator", "type")).strip("'")
            known = list(_tags(self.holder))
            if self.kind == "union_tag_not_found":
                return f"`{key}` is missing", f"one of: {', '.join(known)}"
            tag = str(self._context.get("tag", ""))
            if tag == "None" and "null" in known:
                return f"expected text as {key}, got null", f'quote it: {key}: "null"'
            return f"unknown {key} `{tag}`", _meant(tag, known)
        if self.kind == "literal_error":
            known = [word.strip("'") for word in str(self._context["expected"]).split(" or ")]
            known = [word.strip("' ") for part in known for word in part.split(",")]
            return f"expected {self._context['expected']}, got {shown}", _meant(
                str(self.input), known, listed=False
            )
        if self.kind == "string_type" and type(self.input) in (bool, int, float):
            return f"expected text, got {shown}", f'quote it: "{shown}"'
        if self.kind == "value_error":
            return self._message.removeprefix("Value error, "), ""
        if expected := self.expected():
            return f"expected {expected}, got {shown}", ""
        if self.kind == "string_pattern_mismatch":
            return f"expected text that matches {self._context['pattern']}, got {shown}", ""
        if self.kind == "too_short" and "min_length" in self._context:
            least = self._context["min_length"]
            return f"expected at least {least} of them, got {self._context['actual_length']}", ""
        number = "a number " if self.kind.startswith(("greater_than", "less_than")) else ""
        message = self._message.replace("Input should be ", f"expected {number}", 1)
        message = message[:1].lower() + message[1:]
        return f"{message}, got {shown}", ""


_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _resolved(node: Schema, root: Schema) -> Schema:
    """`node` without references, and without the `null` of an optional value."""
    while True:
        options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rpartition("/")[2]]
        elif len(options) == 1:
            node = options[0]
        else:
            return node


def _child(node: Schema, part: str | int, root: Schema) -> Schema:
    """The schema of a key or item; {} when it says nothing about it."""
    for option in (node, *(_resolved(option, root) for option in node.get("anyOf", ()))):
        if isinstance(part, int):
            found = option.get("items")
        else:
            found = option.get("properties", {}).get(part, option.get("additionalProperties"))
        if isinstance(found, Mapping):
            return _resolved(found, root)
    return {}


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def _keys(node: Schema, root: Schema) -> list[str]:
    options = (node, *(_resolved(option, root) for option in node.get("anyOf", ())))
    return [key for option in options for key in option.get("properties", {})]


def _tags(node: Schema) -> Mapping[str, str]:
    """The members of a union that is told apart by a key, also where it is one of several forms."""
    for option in (node, *node.get("anyOf", ())):
        if found := option.get("discriminator", {}).get("mapping"):
            return dict(found)
    return {}


def _described(node: Schema, key: str) -> str:
    said = node.get("properties", {}).get(key, {}).get("description", "")
    return f"{key}: {said}" if said else ""


def _meant(word: str, known: Sequence[str], *, listed: bool = True) -> str:
    """What to write instead of `word`."""
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    parts = [f"did you mean `{close[0]}`?"] if close else []
    if listed and known:
        parts.append(f"known: {', '.join(known)}")
    return " ".join(parts)


def _at(path: Path, message: str) -> str:
    """`message` with the way to the value in front, as in `verify[0].rows`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return f"{text}: {message}" if text else message


def _shown(value: Any) -> str:
    """A value as JSON, short."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
