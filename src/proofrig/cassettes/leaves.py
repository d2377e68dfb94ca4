"""JSON values leaf by leaf, by path: `request.messages[2].content`. And where two values part.

Rules:
1. A leaf is a value without members: a text, a number, an empty object, ...
2. A text that holds server-sent events has leaves of its own: `response.event[4].delta.text`. Each
   other line of such a text is a leaf as well. A text that is a JSON object or array has the
   leaves of that.
3. Two values part at the first leaf, in the order of the first value; what one of them lacks comes
   after what both have.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

_PLAIN = re.compile(r"[A-Za-z_][\w-]*\Z")
_SSE = re.compile(r"(?:data|event|id|retry)?:", re.MULTILINE)
MISSING = "(nothing)"


class Part(NamedTuple):
    """Where two values part, and what each has there."""

    path: str
    one: Any
    other: Any


@lru_cache(1 << 14)
def _step(key: str) -> str:
    """A key as a step of a path."""
    return f".{key}" if _PLAIN.match(key) else f"[{msgspec.json.encode(key).decode()}]"


def below(path: str, key: str) -> str:
    """The path of a member."""
    step = _step(key)
    return path + step if path or step[0] == "[" else step[1:]


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every leaf with its path, in the order in which they stand."""
    found: list[tuple[str, Any]] = []
    _gather(value, path, found)
    return found


def _gather(value: Any, path: str, found: list[tuple[str, Any]]) -> None:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            _gather(part, below(path, str(key)), found)
    elif isinstance(value, list) and value:
        for place, part in enumerate(value):
            _gather(part, f"{path}[{place}]", found)
    elif isinstance(value, str) and "\n" in value and _SSE.match(value):
        _gather_events(value, path, found)
    elif isinstance(value, str) and value[:1] in ("{", "["):
        try:
            inner = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            found.append((path, value))
        else:
            _gather(inner, path, found)
    else:
        found.append((path, value))


def _gather_events(text: str, path: str, found: list[tuple[str, Any]]) -> None:
    number = 0
    for line in text.split("\n"):
        here = f"{path}.event[{number}]"
        number += not line
        if line.startswith("data: {"):
            try:
                _gather(msgspec.json.decode(line[6:]), here, found)
                continue
            except msgspec.MsgspecError:
                pass
        found.append((here, line))


def parting(one: Any, other: Any, path: str = "$") -> Part | None:
    """The first place at which two values differ; None when they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key, value in one.items():
            if key in other and (found := parting(value, other[key], below(path, str(key)))):
                return found
        for key in [*(k for k in one if k not in other), *(k for k in other if k not in one)]:
            return Part(below(path, str(key)), one.get(key, MISSING), other.get(key, MISSING))
        return None
    if isinstance(one, list) and isinstance(other, list):
        for place, (left, right) in enumerate(zip(one, other, strict=False)):
            if found := parting(left, right, f"{path}[{place}]"):
                return found
        if len(one) != len(other):
            place = min(len(one), len(other))
            return Part(f"{path}[{place}]", _at(one, place), _at(other, place))
        return None
    same = one == other and type(one) is type(other)
    return None if same else Part(path, one, other)


def _at(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else MISSING
