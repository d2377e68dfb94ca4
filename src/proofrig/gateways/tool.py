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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from pydantic import BaseModel

from proofrig.errors import UsageError
from proofrig.gateways.gateway import Binding
from proofrig.history.action import Outcome

if TYPE_CHECKING:
    from proofrig.gateways.service_tool import ServiceClient, ServiceClients

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
    state: one dict for all calls of the trial, begun as the case's `world.state` (empty where it
    gives none) and the tools' to change. Calls of one trial may overlap in threads. action: the
    tool call's on the history, empty where it is not known.
    """

    trial: str
    tenant: str
    world: Path | None
    seed: int
    state: dict[str, Any] = field(default_factory=dict)
    action: str = ""
    binding: Binding | None = field(default=None, repr=False, compare=False)
    services: ServiceClients | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, binding: Binding, action: str = "") -> ToolContext:
        world = Path(binding.world) if binding.world else None
        owner = binding.trial, binding.tenant
        return cls(*owner, world, binding.seed, binding.state, action, binding)

    def serving(self, services: ServiceClients) -> ToolContext:
        """The same with the shared services of the rig."""
        return replace(self, services=services)

    def service(self, name: str) -> ServiceClient:
        """A shared service of the suite, on behalf of this call: `await memory.get(key="plan")`, or
        `memory.sync.get(key="plan")` in a plain function. Raises ServiceRefused for an unknown
        name, UsageError outside a rig."""
        if self.services is None:
            raise UsageError(f"service {name!r}: expected a suite with `services:`, got none")
        return self.services.client(name)


class ToolFailure(Exception):
    """A call that gave no result. `detail` is for the history, not for the agent."""

    def __init__(
        self, kind: FailureKind, message: str, *, outcome: Outcome = "fail", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = _sendable(message)
        self.outcome = outcome
        self.detail = _sendable(detail)


def _sendable(text: str) -> str:
    """Half a surrogate pair, which Python allows in text and UTF-8 does not, becomes `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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


def state_json(state: Mapping[str, Any], limit_bytes: int) -> bytes:
    """What tools left in a trial's state, as JSON text. Raises ValueError when it is not JSON,
    naming the keys that are not, or too large."""
    try:
        # One call that holds the interpreter's lock: a thread that still runs cannot get between.
        text = msgspec.json.encode(state, enc_hook=_known_to_pydantic)
    except Exception as error:  # values are the user's code, and may raise anything
        keys = ", ".join(repr(key) for key, value in list(state.items()) if not _is_json(value))
        raise ValueError(
            "expected tools to leave a state that is JSON (text, numbers, lists, dicts, "
            f"dataclasses, pydantic models), got under {keys or 'its keys'}: {error}"
        ) from error
    if len(text) > limit_bytes:
        raise ValueError(
            f"expected tools to leave a state of at most {limit_bytes:,} bytes as JSON, got "
            f"{len(text):,}; keep files in the world instead"
        )
    return text


def _is_json(value: Any) -> bool:
    try:
        msgspec.json.encode(value, enc_hook=_known_to_pydantic)
    except Exception:
        return False
    return True


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
