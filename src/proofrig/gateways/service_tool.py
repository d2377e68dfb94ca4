"""Operations of a shared service as tools for models, and as calls for a suite's Python tools.

Rules:
1. Each call is an action of its own, whose `parent` is the tool call that it is part of.
2. What a service refuses reaches a model as a tool error that it can read, and a Python tool as
   `ServiceRefused`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from proofrig.errors import Denied, ProofrigError, UsageError
from proofrig.gateways.service_action import Asker, ServiceCalls
from proofrig.gateways.tool import FailureKind, ToolContext, ToolFailure, json_result
from proofrig.gateways.tool_action import denial_text
from proofrig.gateways.tool_settings import ServiceToolSettings
from proofrig.services.service import Misasked, Operation, unknown


class ServiceRefused(Exception):
    """What did not happen, and why. status: 400, 401 or 404 for what nobody can ask, 409, 413 or
    429 for what the service refused, 403 or 503 when the rig did not let it happen. retry_after:
    seconds, of a 429."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ServiceClients:
    """The shared services on behalf of one trial's tool call. Made on the loop that serves them."""

    def __init__(self, calls: ServiceCalls, asker: Asker) -> None:
        self._calls = calls
        self._asker = asker
        self._loop = asyncio.get_running_loop()

    def client(self, name: str) -> ServiceClient:
        """From any thread. Raises ServiceRefused when there is no such service."""
        try:
            self._calls.find(name)
        except Misasked as wrong:
            raise ServiceRefused(wrong.status, wrong.message) from wrong
        return ServiceClient(self._calls, self._asker, name, self._loop)


class ServiceClient:
    """A shared service: `await memory.get(key="plan")` on the loop, or in a plain function
    `memory.sync.get(key="plan")`. What did not happen raises ServiceRefused."""

    def __init__(
        self, calls: ServiceCalls, asker: Asker, name: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = name
        self.sync = SyncClient(self, loop)
        self._calls = calls
        self._asker = asker

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """The result of an operation, as JSON values."""
        try:
            ended = await self._calls.call(self._asker, self.name, operation, arguments)
        except Misasked as wrong:
            raise ServiceRefused(wrong.status, wrong.message) from wrong
        except Denied as denied:
            raise ServiceRefused(403, denial_text(denied)) from denied
        except ProofrigError as error:
            raise ServiceRefused(503, str(error)) from error
        done = ended.done
        if done.status != 200:
            raise ServiceRefused(done.status, done.error, done.retry_after_ns / 1e9)
        if self._calls.kills is not None:  # once this step of the loop is over, the caller has it
            asyncio.get_running_loop().call_soon(self._calls.acknowledged, ended)
        return done.result

    def __getattr__(self, operation: str) -> Any:
        """An operation by its name; its arguments are keywords."""
        if operation.startswith("_"):
            raise AttributeError(operation)

        async def call(**arguments: Any) -> Any:
            return await self.call(operation, arguments)

        return call


class SyncClient:
    """The same for functions that run in threads; each call blocks its thread."""

    def __init__(self, client: ServiceClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """The result of an operation. Raises ServiceRefused."""
        if asyncio._get_running_loop() is self._loop:
            raise RuntimeError(
                f"{self._client.name}.sync.{operation}: an async tool would wait for itself; "
                f"await {self._client.name}.{operation} instead"
            )
        calling = self._client.call(operation, arguments)
        return asyncio.run_coroutine_threadsafe(calling, self._loop).result()

    def __getattr__(self, operation: str) -> Any:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda **arguments: self.call(operation, arguments)


class ServiceTool:
    """One operation as a tool."""

    def __init__(self, settings: ServiceToolSettings, operation: Operation) -> None:
        prefix = settings.service if settings.prefix is None else settings.prefix
        self.name = f"{prefix}_{operation.name}" if prefix else operation.name
        self.description = inspect.getdoc(operation.takes) or ""
        self.schema = _schema(operation)
        self._operation = operation.name
        self._settings = settings

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> bytes:
        """The result as JSON text. Raises ToolFailure."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_s):
                result = await context.service(settings.service).call(self._operation, arguments)
        except ServiceRefused as error:
            kind: FailureKind = "bad_arguments" if error.status == 400 else "tool_error"
            raise ToolFailure(kind, f"tool {self.name}: {error}") from error
        except TimeoutError as error:
            raise ToolFailure(
                "tool_timeout",
                f"tool {self.name}: expected an answer within {settings.timeout_s:g} s, got none; "
                "it may have had its effect all the same",
                outcome="unknown",
            ) from error
        return json_result(self.name, result, settings.result_limit_bytes)


def service_tools(settings: ServiceToolSettings, calls: ServiceCalls | None) -> list[ServiceTool]:
    """A tool for each operation that the suite names, all by default. Raises UsageError."""
    try:
        if calls is None:
            raise Misasked(404, unknown("service", settings.service, {}))
        service = calls.find(settings.service)
        names = settings.operations or list(service.operations)
        for name in names:
            if name not in service.operations:
                what = f"operation of {settings.service}"
                raise Misasked(404, unknown(what, name, service.operations))
    except Misasked as wrong:
        raise UsageError(f"tool of service {settings.service!r}: {wrong.message}") from wrong
    return [ServiceTool(settings, service.operations[name]) for name in names]


def _schema(operation: Operation) -> dict[str, Any]:
    """JSON Schema of an operation's arguments, in one piece."""
    schemas, parts = msgspec.json.schema_components([operation.takes])
    schema: dict[str, Any] = next(iter(parts.values())) if parts else schemas[0]
    return {name: part for name, part in schema.items() if name not in ("title", "description")}
