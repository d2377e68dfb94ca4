"""The pieces that canonical requests are made of, each by itself: what is the same whatever stands
before it.

Rules:
1. An id becomes a mark with its number in the piece; its number in the request comes later.
2. In a message, keys that only say when and by whom it was made are left out, and keys of ids hold
   ids. What a tool takes and a schema says are the agent's own values: there every key matters, and
   so does every time: only ids are numbers, and only what the user names does not matter.
3. Arguments that are JSON text are compared as values.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from proofrig.cassettes.redaction import Redactor
from proofrig.cassettes.scrub import Rule
from proofrig.errors import UsageError

Step = str | int
Paths = tuple[tuple[Step, ...], ...]

MARK = re.compile("\x00([0-9]+)\x00")
without = frozenset(
    ("created", "created_at", "system_fingerprint", "obfuscation", "service_tier", "cache_control")
)
_IDS = frozenset(
    (
        *("id", "call_id", "tool_call_id", "tool_use_id", "item_id", "approval_request_id"),
        *("previous_response_id", "previous_message_id", "conversation"),
    )
)
_VALUES = frozenset(
    (
        *("arguments", "input", "args", "parameters", "schema", "input_schema", "output_schema"),
        *("structured_content", "structuredContent", "json_schema", "prompt"),
    )
)
_STEP = re.compile(r"\.([A-Za-z_$][\w$-]*)|\[\*\]|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\]")


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A piece. digest: of its value. ids: in the order of their numbers. call: the id of the call
    whose result it is. user: the user says it. parts: how many pieces after it lie inside of it.
    rules: which applied to its texts."""

    value: Any
    digest: bytes
    ids: tuple[str, ...]
    call: str
    user: bool
    parts: int
    rules: frozenset[str]


class Pieces:
    """Makes pieces."""

    def __init__(self, rules: Sequence[Rule], redactor: Redactor) -> None:
        self.rules = rules
        self.redactor = redactor

    def turn(self, value: Any, active: Paths) -> tuple[Piece, ...]:
        """A message; one that holds results of tools as a frame and its parts."""
        if not isinstance(value, dict):
            return (_Making(self).piece(value, active),)
        content, inner = value.get("content"), _into(active, "content")
        if not isinstance(content, list) or not _holds_results(content) or () in inner:
            return (_Making(self).piece(value, active, user=value.get("role") == "user"),)
        frame = _Making(self).piece(value | {"content": len(content)}, active, parts=len(content))
        parts = (
            _Making(self).piece(part, _into(inner, place)) for place, part in enumerate(content)
        )
        return (frame, *parts)

    def field(self, value: Any, active: Paths, plain: bool) -> Piece:
        """Any other field, as an object of one key; `plain`: a tool's own value."""
        return _Making(self).piece(value, active, plain=plain)

    def other(self, body: bytes) -> Piece:
        """What is no JSON object, or one that cannot be read."""
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = msgspec.json.decode(body) if body else ""
            return _Making(self).piece(value, (), plain=True)
        try:
            return _Making(self).piece(body.decode(), ())
        except UnicodeDecodeError:
            value = f"(bytes {hashlib.blake2b(body, digest_size=16).hexdigest()})"
            return _Making(self).piece(value, (), plain=True)

    def address(self, host: str, path: str) -> Piece:
        """Where a request goes."""
        return _Making(self).piece([host, path], (), plain=True)

    def text(self, text: str) -> str:
        """A text by itself, ids as one word."""
        return MARK.sub("<id>", _Making(self).scrubbed(text))


class _Making:
    """One piece in the making."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._ids: dict[str, int] = {}
        self._applied: set[str] = set()

    def piece(
        self,
        value: Any,
        active: Paths,
        *,
        plain: bool = False,
        user: bool = False,
        parts: int = 0,
    ) -> Piece:
        local = self._plain(value, active) if plain else self._walk(value, active)
        digest = hashlib.blake2b(msgspec.json.encode(local), digest_size=16).digest()
        ids, rules = tuple(self._ids), frozenset(self._applied)
        return Piece(local, digest, ids, _call_of(value), user, parts, rules)

    def scrubbed(self, text: str, *, own: bool = False) -> str:
        """A text without secrets and without what does not matter; `own`: the agent's own value."""
        clean = self._pieces.redactor.text(text)
        for rule in self._pieces.rules:
            if own and not rule.own:
                continue
            for hint in rule.hints:
                if hint in clean:
                    break
            else:
                continue
            put = None if own and rule.own == "ids" else rule.put
            new = rule.pattern.sub(partial(self._put, put), clean)
            if new != clean:
                self._applied.add(rule.name)
                clean = new
        return clean

    def _put(self, put: str | None, found: re.Match[str]) -> str:
        return self._mark(found[0]) if put is None else put

    def _mark(self, id: str) -> str:
        return f"\x00{self._ids.setdefault(id, len(self._ids))}\x00"

    def _walk(self, value: Any, active: Paths) -> Any:
        """A value of a message."""
        if isinstance(value, dict):
            return {
                key: self._member(key, value[key], inner)
                for key in sorted(value)
                if key not in without and () not in (inner := _into(active, key))
            }
        if isinstance(value, list):
            return [
                self._walk(part, inner)
                for place, part in enumerate(value)
                if () not in (inner := _into(active, place))
            ]
        return self._leaf(value)

    def _member(self, key: str, value: Any, active: Paths) -> Any:
        if key in _IDS and isinstance(value, str):
            return self._mark(value) if value else value
        if key not in _VALUES:
            return self._walk(value, active)
        if key == "arguments" and isinstance(value, str):
            with suppress(msgspec.MsgspecError, RecursionError):
                value = msgspec.json.decode(value)
        return self._plain(value, active)

    def _plain(self, value: Any, active: Paths) -> Any:
        """A value of the agent's own."""
        if isinstance(value, dict):
            return {
                key: self._plain(value[key], inner)
                for key in sorted(value)
                if () not in (inner := _into(active, key))
            }
        if isinstance(value, list):
            return [
                self._plain(part, inner)
                for place, part in enumerate(value)
                if () not in (inner := _into(active, place))
            ]
        return self._leaf(value, own=True)

    def _leaf(self, value: Any, *, own: bool = False) -> Any:
        """A text, or a number: 1.0 is 1, as in JSON."""
        if isinstance(value, str):
            return self.scrubbed(value, own=own)
        return int(value) if isinstance(value, float) and value.is_integer() else value


def paths_of(texts: Sequence[str]) -> Mapping[str, Paths]:
    """JSON paths by their first key, the rest of each as steps. Raises UsageError."""
    found: dict[str, list[tuple[Step, ...]]] = {}
    for text in texts:
        steps, at = list[Step](), 1
        while text.startswith("$") and (match := _STEP.match(text, at)):
            key, index, quoted = match.groups()
            if quoted is not None:
                key = str(msgspec.json.decode(f'"{quoted}"'))
            steps.append(key if key is not None else int(index) if index else "*")
            at = match.end()
        if at != len(text) or not steps or not isinstance(steps[0], str) or steps[0] == "*":
            raise UsageError(
                f"expected a JSON path such as $.metadata.trace or $.messages[*].name, got {text!r}"
            )
        found.setdefault(steps[0], []).append(tuple(steps[1:]))
    return {key: tuple(paths) for key, paths in found.items()}


def _into(active: Paths, step: Step) -> Paths:
    """The paths that go on below a member; one that ends there is empty."""
    if not active:
        return active
    any_of = "*" if isinstance(step, int) else step
    return tuple(path[1:] for path in active if path[0] == step or path[0] == any_of)


def _holds_results(content: list[Any]) -> bool:
    return any(isinstance(part, dict) and part.get("type") == "tool_result" for part in content)


def _call_of(value: Any) -> str:
    """The id of the call that a message, item or block is the result of; else empty."""
    if not isinstance(value, dict):
        return ""
    kind = value.get("type")
    if value.get("role") == "tool":
        id = value.get("tool_call_id")
    elif kind == "tool_result":
        id = value.get("tool_use_id")
    elif isinstance(kind, str) and kind.endswith("_call_output"):
        id = value.get("call_id")
    else:
        return ""
    return id if isinstance(id, str) else ""
