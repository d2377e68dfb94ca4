"""The tools of a suite as plain HTTP: `POST /tools/{name}` with a JSON object of arguments.

    200 {"result": ...}
    4xx or 5xx {"error": {"type", "message", ...}}
    either with "warning", a text for the model, when the run goes in circles

Rules:
1. Each call of a running trial is an action, also when its arguments are wrong or its tool is
   unknown: it is what the agent did.
2. An agent that hangs up does not undo a call: its outcome is unknown.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from proofrig.errors import Denied, ProofrigError
from proofrig.gateways.answers import denial_facts, deny_status, retry_headers
from proofrig.gateways.gateway import Context
from proofrig.gateways.tool import ToolContext, ToolFailure
from proofrig.gateways.tool_action import Asking, Calls, Ending, OpenCall, denial_text
from proofrig.gateways.toolbox import Toolbox

STATUS = {
    "unknown_tool": 404,
    "bad_arguments": 400,
    "tool_error": 500,
    "bad_result": 500,
    "result_too_large": 500,
    "tool_unreachable": 502,
    "tool_timeout": 504,
}
CALL_ID = "x-tool-call-id"  # the model's id of the call, from agents that pass it along


class ToolsGateway:
    """Serves a toolbox. `context.bindings` names the trials."""

    def __init__(self, context: Context, toolbox: Toolbox, calls: Calls) -> None:
        self._context = context
        self._toolbox = toolbox
        self._calls = calls
        context.tools.update(toolbox.tools)

    def routes(self) -> list[web.RouteDef]:
        """`GET /tools` and `POST /tools/{name}`, bare and below `/t/{token}`."""
        return [
            route
            for prefix in ("", "/t/{token}")
            for route in (
                web.get(f"{prefix}/tools", self._list),
                web.post(f"{prefix}/tools/{{name}}", self._call),
            )
        ]

    async def close(self) -> None:
        """Let the tools' threads end. Open calls are given up by `Calls.close`."""
        self._toolbox.close()

    async def _list(self, request: web.Request) -> web.Response:
        tools = [
            {"name": tool.name, "description": tool.description, "schema": tool.schema}
            for tool in self._toolbox.tools.values()
        ]
        token = request.match_info.get("token", "")
        identity = self._calls.identify(request.headers, token)
        if identity.state == "live" and identity.binding is not None:
            self._calls.note_tools(identity.binding, "", tools)
        return _json(200, {"tools": tools})

    async def _call(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        body = await request.read()
        token = request.match_info.get("token", "")
        identity = self._calls.identify(request.headers, token)
        arguments, wrong = _arguments(body)
        asking = Asking(name, arguments, call_id=request.headers.get(CALL_ID, ""))
        if identity.state != "live" or identity.binding is None:
            return _error(401, "unattributed", self._calls.note_stranger(identity, asking, ""))
        binding = identity.binding
        try:
            call = await self._calls.begin(binding, identity.channel, asking)
        except Denied as denied:
            answer = _error(
                deny_status(denied.code), "denied", denial_text(denied), denial_facts(denied)
            )
            answer.headers.update(retry_headers(denied))
            return answer
        except ProofrigError as error:
            return _error(503, "not_recorded", f"proofrig: the call was not made: {error}")
        try:
            if wrong:
                raise ToolFailure("bad_arguments", wrong)
            result = await self._toolbox.call(name, arguments, ToolContext.of(binding, call.id))
            if self._calls.disorders is not None:
                await self._calls.disorders.deliver(binding, call.id)
        except ToolFailure as failure:
            return self._failed(call, failure)
        except asyncio.CancelledError:
            self._calls.give_up([call], "the agent hung up before the tool answered")
            raise
        self._calls.end(call, Ending("ok", result))
        body = _warned(b'{"result":' + result + b"}", call)
        return web.Response(body=body, content_type="application/json")

    def _failed(self, call: OpenCall, failure: ToolFailure) -> web.Response:
        answer = _error(STATUS[failure.kind], failure.kind, failure.message)
        error = failure.message + (f" ({failure.detail})" if failure.detail else "")
        body = answer.body if isinstance(answer.body, bytes) else None
        away = failure.kind == "tool_unreachable"
        self._calls.end(call, Ending(failure.outcome, body, True, error, infra=away))
        if body is not None:
            answer.body = _warned(body, call)
        return answer


def _arguments(body: bytes) -> tuple[dict[str, Any], str]:
    """The arguments in a body, and what is wrong with it or ""."""
    try:
        value = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, f"expected a JSON object of arguments, got {body[:80]!r}: {error}"
    if not isinstance(value, dict):
        return {}, f"expected a JSON object of arguments, got {body[:80]!r}"
    return value, ""


def _warned(body: bytes, call: OpenCall) -> bytes:
    """A JSON object with the text for the model in it, if there is one."""
    if not call.warning:
        return body
    return b'%b,"warning":%b}' % (body[:-1], msgspec.json.encode(call.warning))


def _error(
    status: int, kind: str, message: str, facts: dict[str, Any] | None = None
) -> web.Response:
    message = message.encode("utf-8", "replace").decode()  # a tool's exception may say anything
    return _json(status, {"error": {"type": kind, "message": message, **(facts or {})}})


def _json(status: int, value: Any) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )
