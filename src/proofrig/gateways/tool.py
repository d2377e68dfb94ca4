"""The contract of a tool that the rig itself carries out.

Rules:
1. `call` answers with a value that is JSON, or raises ToolFailure with a message that the model
   can act on. Nothing a tool does ends the rig.
2. `outcome` of a failure is "unknown" when the tool may have had its effect all the same.
3. Arguments are checked before the tool runs; what is wrong with them is all said at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from pydantic import BaseModel

from proofrig.gateways.gateway import Binding
from proofrig.history.action import Outcome

FailureKind = Literal[
    "unknown_tool",
    "bad_arguments",
    "tool_error",
    "tool_timeout",
    "tool_unreachable",
    "bad_result",
    "result_too_large",
]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a Python tool may ask for by annotating a parameter with this type: whose call it is.

    world: the trial's folder, None when it has none. seed: the trial's, for repeatable chance.
    """

    trial: str
    tenant: str
    world: Path | None
    seed: int

    @classmethod
    def of(cls, binding: Binding) -> ToolContext:
        world = Path(binding.world) if binding.world else None
        return cls(binding.trial, binding.tenant, world, binding.seed)


class ToolFailure(Exception):
    """A call that gave no result. `detail` is for the history, not for the agent."""

    def __init__(
        self, kind: FailureKind, message: str, *, outcome: Outcome = "fail", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.outcome = outcome
        self.detail = detail


class Tool(Protocol):
    """One tool: what a model is told about it, and how it is called."""

    name: str
    description: str
    schema: dict[str, Any]  # JSON Schema of the arguments

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The result as JSON text. Raises ToolFailure."""


def json_result(tool: str, value: Any, limit_bytes: int) -> bytes:
    """A tool's result as JSON text. Raises ToolFailure when it is not JSON, or too large."""
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            raise TypeError("bytes; decode them, or encode them as text")
        text = msgspec.json.encode(value, enc_hook=_known_to_pydantic)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ToolFailure(
            "bad_result",
            f"tool {tool}: expected a result that is JSON (text, numbers, lists, dicts, "
            f"dataclasses, pydantic models), got {type(value).__name__}: {error}",
        ) from error
    check_size(tool, len(text), limit_bytes)
    return text


def check_size(tool: str, size: int, limit_bytes: int) -> None:
    """Raises ToolFailure for a result above the limit, saying both."""
    if size > limit_bytes:
        raise ToolFailure(
            "result_too_large",
            f"tool {tool}: the result has {size:,} bytes and at most {limit_bytes:,} are passed "
            "on; ask for less, or raise the tool's result_limit_bytes in the suite",
        )


def unknown_tool(name: str, known: Iterable[str]) -> ToolFailure:
    """The failure of a call to a tool that does not exist."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    return ToolFailure(
        "unknown_tool",
        f"unknown tool {name!r}: {hint}this suite has {', '.join(names) or 'no tools'}",
    )


def _known_to_pydantic(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")
