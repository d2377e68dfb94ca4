"""The shared services as plain HTTP: `POST /services/{name}/{operation}` with a JSON object.

    200 {"result": ...}
    409 what the service refused   413 too large   429 over a limit, with `retry-after`
    400 or 404 what was expected   401 no running trial   {"error": {"type", "message", ...}}

Rules:
1. An answer is handed to the socket before the kill point `after_ack` is passed.
2. `retry-after` is in whole seconds, rounded up, as HTTP has it; `retry-after-ms` is exact.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from aiohttp import web

from proofrig.errors import Denied, ProofrigError
from proofrig.gateways.answers import denial_facts, deny_status, retry_headers
from proofrig.gateways.gateway import Context
from proofrig.gateways.identity import Identity, identify
from proofrig.gateways.service_action import Asker, ServiceCalls
from proofrig.gateways.tool_action import denial_text
from proofrig.services.service import Done, Misasked

_KINDS = {409: "refused", 413: "too_large", 429: "over_limit"}


class ServicesGateway:
    """Serves shared services. `context.bindings` names the trials."""

    def __init__(self, context: Context, calls: ServiceCalls) -> None:
        self._context = context
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """`POST /services/{name}/{operation}`, bare and below `/t/{token}`."""
        path = "/services/{name}/{operation}"
        return [web.post(f"{prefix}{path}", self._call) for prefix in ("", "/t/{token}")]

    async def close(self) -> None:
        """Give up what is open."""
        self._calls.close()

    async def _call(self, request: web.Request) -> web.StreamResponse:
        asked = request.match_info
        body = await request.read()
        found = identify(self._context.bindings, request.headers, asked.get("token", ""))
        if found.state != "live" or found.binding is None:
            return _error(401, "unattributed", self._note_stranger(found, asked["name"]))
        asker = Asker(found.binding, found.channel)
        try:
            ended = await self._calls.call(asker, asked["name"], asked["operation"], body)
        except Misasked as wrong:
            return _error(wrong.status, "misasked", wrong.message)
        except Denied as denied:
            refused = _error(
                deny_status(denied.code), "denied", denial_text(denied), denial_facts(denied)
            )
            refused.headers.update(retry_headers(denied))
            return refused
        except ProofrigError as error:
            return _error(503, "not_done", f"proofrig: it was not done: {error}")
        answer = _answer(ended.done)
        if self._calls.kills is not None:
            await answer.prepare(request)
            await answer.write_eof()
            self._calls.acknowledged(ended)
        return answer

    def _note_stranger(self, identity: Identity, service: str) -> str:
        """Write down a request that belongs to no running trial; what to tell its sender."""
        binding = identity.binding
        attrs: dict[str, Any] = {
            "channel": identity.channel,
            "hint": identity.hint,
            "service": service,
            "answer": "refuse",
        }
        journal = self._context.journal
        if binding is None:
            journal.write("note", "unattributed", attrs=attrs)
            return (
                "proofrig: expected a call of a running trial, named by its path /t/<token>/ or by "
                f"baggage (proofrig.trial=<token>), got {identity.channel} {identity.hint}. Use "
                "PROOFRIG_SERVICES_URL, and make the call where the trial's own code runs."
            )
        owner = {"trial": binding.trial, "tenant": binding.tenant, "scope": binding.scope}
        journal.write("note", "late", **owner, attrs=attrs)
        return f"proofrig: trial {binding.trial} has ended, and this call came after its end."


def _answer(done: Done) -> web.Response:
    if done.status == 200:
        body = b'{"result":' + msgspec.json.encode(done.result) + b"}"
        return web.Response(body=body, content_type="application/json")
    answer = _error(done.status, _KINDS[done.status], done.error)
    if done.retry_after_ns:
        answer.headers["retry-after"] = str(math.ceil(done.retry_after_ns / 1e9))
        answer.headers["retry-after-ms"] = str(math.ceil(done.retry_after_ns / 1e6))
    return answer


def _error(
    status: int, kind: str, message: str, facts: dict[str, Any] | None = None
) -> web.Response:
    message = message.encode("utf-8", "replace").decode()
    value = {"error": {"type": kind, "message": message, **(facts or {})}}
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )
