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
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from proofrig.errors import Denied, ProofrigError
from proofrig.gateways.answers import denial_facts, deny_status, retry_headers
from proofrig.gateways.breaking import break_off, broken, relay_whole
from proofrig.gateways.gateway import Context
from proofrig.gateways.headers import downstream_headers
from proofrig.gateways.identity import key_of
from proofrig.gateways.leg import clear
from proofrig.gateways.tool import ToolContext, ToolFailure
from proofrig.gateways.tool_action import Asking, Calls, Ending, OpenCall, denial_text
from proofrig.gateways.tool_leg import BROKE, ToolLeg, arguments_of
from proofrig.gateways.toolbox import Toolbox
from proofrig.wire.answer import Answer, Cut, Made, read, rebodied

STATUS = {
    "unknown_tool": 404,
    "bad_arguments": 400,
    "tool_error": 500,
    "bad_result": 500,
    "result_too_large": 500,
    "tool_unreachable": 502,
    "tool_timeout": 504,
}
JSON = "application/json"
CALL_ID = "x-tool-call-id"  # the model's id of the call, from agents that pass it along


class _Result(msgspec.Struct):
    result: msgspec.Raw


_result = msgspec.json.Decoder(_Result)


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
        return _whole(200, msgspec.json.encode({"tools": tools}))

    async def _call(self, request: web.Request) -> web.StreamResponse:
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
        doing = _Doing(self._toolbox, call, arguments, wrong)
        try:
            if clear(self._context):
                return await self._plainly(doing)
            return await self._through(request, doing)
        except asyncio.CancelledError:
            self._calls.give_up([call], "the agent hung up before the tool answered")
            raise
        except Exception as error:
            self._calls.end(call, Ending("unknown", error=f"{type(error).__name__}: {error}"))
            raise

    async def _plainly(self, doing: _Doing) -> web.Response:
        """Carry a call out with nothing in its way."""
        status, body, ending = await doing.carry_out()
        self._calls.end(doing.call, ending)
        return _whole(status, _warned(body, doing.call))

    async def _through(self, request: web.Request, doing: _Doing) -> web.StreamResponse:
        """Carry a call out behind faults and the tape, and pass on what comes of it."""
        call = doing.call
        call.leg = leg = _Leg(self._context, request, doing)
        try:
            answer = await leg.send(leg.carry_out)
        except Cut as cut:
            self._calls.end(call, Ending("fail", error=BROKE))
            break_off(request, cut.how)
            return broken()
        except ProofrigError as error:
            self._calls.end(call, Ending("fail", error=str(error)))
            return _error(503, "not_done", f"proofrig: {error}")
        try:
            if leg.spared and call.warning:
                body = await read(answer)
                self._calls.end(call, told(answer.status, body))
                return _whole(answer.status, _warned(body, call))
            return await self._relay(request, call, answer)
        except ConnectionResetError:
            self._calls.give_up([call], "the agent hung up before the answer was whole")
            return broken()
        finally:
            answer.close()

    async def _relay(
        self, request: web.Request, call: OpenCall, answer: Answer
    ) -> web.StreamResponse:
        def whole(body: bytes) -> None:
            self._calls.end(call, told(answer.status, body))

        headers = downstream_headers(answer.headers)
        response, cut = await relay_whole(request, answer, headers, whole)
        if cut is not None:
            self._calls.end(call, Ending("fail", error=BROKE))
        return response


@dataclass(slots=True)
class _Doing:
    """A call on its way to its tool. wrong: what is wrong with its arguments."""

    toolbox: Toolbox
    call: OpenCall
    arguments: dict[str, Any]
    wrong: str

    async def carry_out(self) -> tuple[int, bytes, Ending]:
        """Call the tool: the status and the body of the answer, and how it ended."""
        call = self.call
        try:
            if self.wrong:
                raise ToolFailure("bad_arguments", self.wrong)
            context = ToolContext.of(call.binding, call.id)
            result = await self.toolbox.call(call.tool, self.arguments, context)
        except ToolFailure as failure:
            error = failure.message + (f" ({failure.detail})" if failure.detail else "")
            body = _error_body(failure.kind, failure.message)
            away = failure.kind == "tool_unreachable"
            ending = Ending(failure.outcome, body, True, error, infra=away)
            return STATUS[failure.kind], body, ending
        return 200, b'{"result":' + result + b"}", Ending("ok", result)


class _Leg(ToolLeg):
    """The leg of a call over plain HTTP."""

    __slots__ = ("_doing",)

    def __init__(self, context: Context, request: web.Request, doing: _Doing) -> None:
        call = doing.call
        super().__init__(
            context,
            call.binding,
            "tool",
            call.id,
            call.name,
            tool=call.tool,
            method="POST",
            path=f"/tools/{call.tool}",
            key=key_of(request.headers),
            headers=request.headers,
            body=arguments_of(doing.arguments),
        )
        self._doing = doing

    async def carry_out(self) -> Answer:
        """The tool's own answer."""
        status, body, ending = await self._doing.carry_out()
        self.truth = self.truth or ending
        return Made(status, body, {"content-type": JSON})

    async def heard(self, answer: Answer) -> Answer:
        if self.truth is not None:
            return answer
        body = await read(answer)  # replayed
        self.truth = told(answer.status, body)
        return rebodied(answer, body)


def told(status: int, body: bytes) -> Ending:
    """How a call ended, as its agent can read it out of an answer."""
    if status == 200:
        try:
            return Ending("ok", bytes(_result.decode(body).result))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Ending("ok", body)
    said = body[:2000].decode("utf-8", "replace")
    return Ending("fail", body, True, f"HTTP {status}: {said}")


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
    return _whole(status, _error_body(kind, message, facts))


def _error_body(kind: str, message: str, facts: dict[str, Any] | None = None) -> bytes:
    message = message.encode("utf-8", "replace").decode()  # a tool's exception may say anything
    return msgspec.json.encode({"error": {"type": kind, "message": message, **(facts or {})}})


def _whole(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=JSON)
