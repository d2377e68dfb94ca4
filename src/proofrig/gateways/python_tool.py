"""A Python function as a tool: its schema from its signature, its arguments checked by pydantic.

Rules:
1. A parameter annotated `ToolContext` is filled in by the rig and is not part of the schema.
2. Async functions run on the loop, all others in a thread.
3. Whatever a function raises, sys.exit included, becomes a failure the model can read.
4. A call that was given up may have had its effect: its outcome is unknown.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, get_type_hints

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from proofrig.errors import UsageError
from proofrig.gateways.tool import ToolContext, ToolFailure, json_result
from proofrig.gateways.tool_settings import CallSettings
from proofrig.gateways.tool_threads import ToolThreads

_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$", re.MULTILINE)
_NEXT_SECTION = re.compile(r"^\S", re.MULTILINE)
_PARAMETER = re.compile(r"^(\s+)(\w+)(?: \([^)]*\))?:\s*(.*)$")


class PythonTool:
    """One function. Raises UsageError when its signature cannot be a tool's."""

    def __init__(
        self, function: Callable[..., Any], name: str, settings: CallSettings, threads: ToolThreads
    ) -> None:
        self.name = name
        self.description, said = read_docstring(inspect.getdoc(function) or "")
        self._function = function
        self._settings = settings
        self._threads = threads
        self._is_async = inspect.iscoroutinefunction(function)
        self._context_name, self._adapter = _signature(function, name, said)
        try:
            self.schema: dict[str, Any] = self._adapter.json_schema()
        except PydanticUserError as error:
            raise UsageError(
                f"tool {name}: expected parameters that have a JSON Schema, got {error.message}"
            ) from error
        self.schema.pop("title", None)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The result as JSON text. Raises ToolFailure."""
        try:
            given = self._adapter.validate_python(arguments)
        except ValidationError as error:
            raise ToolFailure("bad_arguments", self._what_is_wrong(error)) from error
        if self._context_name:
            given[self._context_name] = context
        limit = asyncio.timeout(self._settings.timeout_s)
        try:
            async with limit:
                value = await self._run(given)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise self._raised(error) from error
        except (Exception, SystemExit) as error:
            if limit.expired():
                raise ToolFailure(
                    "tool_timeout",
                    f"tool {self.name}: expected an answer within {self._settings.timeout_s:g} s, "
                    "got none; it may have had its effect all the same",
                    outcome="unknown",
                ) from None
            raise self._raised(error) from error
        return json_result(self.name, value, self._settings.result_limit_bytes)

    async def _run(self, given: dict[str, Any]) -> Any:
        if self._is_async:
            return await self._function(**given)
        value = await self._threads.run(lambda: self._function(**given))
        return await value if inspect.isawaitable(value) else value

    def _what_is_wrong(self, error: ValidationError) -> str:
        said = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}"
            + ("" if one["type"] == "missing" else f", got {str(one['input'])[:80]!r}")
            for one in error.errors(include_url=False, include_context=False)
        )
        required = set(self.schema.get("required", ()))
        names = [n if n in required else f"{n} (optional)" for n in self.schema["properties"]]
        return f"tool {self.name}: {said}. It takes: {', '.join(names) or 'no arguments'}."

    def _raised(self, error: BaseException) -> ToolFailure:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        try:
            text = str(error)[:2000]
        except Exception:
            text = "(its message cannot be read)"
        kind = type(error).__name__
        return ToolFailure("tool_error", f"tool {self.name} raised {kind}: {text}", detail=where)


def _signature(
    function: Callable[..., Any], name: str, said: Mapping[str, str]
) -> tuple[str, TypeAdapter[dict[str, Any]]]:
    """The name of the context parameter or "", and what checks all the others."""
    context_name, fields = "", dict[str, Any]()
    try:
        hints = get_type_hints(function, include_extras=True)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise UsageError(
                    f"tool {name}: expected parameters with names of their own, got {parameter}; "
                    "models pass arguments by name"
                )
            hint = hints.get(parameter.name, Any)
            if hint is ToolContext:
                context_name = parameter.name
            else:
                fields[parameter.name] = _field(parameter, hint, said.get(parameter.name))
        arguments = TypedDict("arguments", fields)  # type: ignore[misc]
        arguments.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(arguments)  # type: ignore[arg-type]
    except UsageError:
        raise
    except Exception as error:  # annotations are the user's code, and may raise anything
        raise UsageError(
            f"tool {name}: expected parameters that pydantic can check, got "
            f"{type(error).__name__}: {error}"
        ) from error
    return context_name, adapter


def _field(parameter: inspect.Parameter, hint: Any, description: str | None) -> Any:
    shown: dict[str, Any] | None = None
    if parameter.default is None or isinstance(parameter.default, str | int | float):
        shown = {"default": parameter.default}
    if parameter.default is parameter.empty:
        return Annotated[hint, Field(description=description)]
    return NotRequired[Annotated[hint, Field(description=description, json_schema_extra=shown)]]


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description, and what the `Args:` section says of each parameter."""
    found = _SECTION.search(text)
    if found is None:
        return text.strip(), {}
    after = text[found.end() :].lstrip("\n")
    following = _NEXT_SECTION.search(after)
    section = after[: following.start()] if following else after
    said: dict[str, str] = {}
    indent, current = "", ""
    for line in section.splitlines():
        match = _PARAMETER.match(line)
        if match and (not indent or match[1] == indent):
            indent, current = match[1], match[2]
            said[current] = match[3].strip()
        elif current and line.strip():
            said[current] = f"{said[current]} {line.strip()}".strip()
    return text[: found.start()].strip(), said
