"""What SDKs ask beside turns: models, token counts. Passed through and written down.

Rules:
1. Each is an action that costs its time and bytes alone; its name is `llm.models`,
   `llm.count_tokens`, ...
2. The answer passes whole; these are small.
3. It takes a connection of the endpoint's cap, and ends with its trial, as a turn does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from proofrig.authority.budget import opening, traffic
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import Denied, LedgerError, ProofrigError
from proofrig.gateways import answers
from proofrig.gateways.breaking import break_off, broken
from proofrig.gateways.headers import downstream_headers, upstream_headers
from proofrig.gateways.identity import key_of
from proofrig.gateways.leg import Leg, outbound, told
from proofrig.gateways.upstream import UpstreamError, at_fault
from proofrig.history.action import Kind, Outcome
from proofrig.wire import CODECS
from proofrig.wire.answer import Answer, Cut, read
from proofrig.wire.turn import Api

if TYPE_CHECKING:
    from proofrig.gateways.desk import Desk
    from proofrig.gateways.gateway import Binding, Channel


class _Model(msgspec.Struct):
    model: str = ""


_model = msgspec.json.Decoder(_Model)
_ORDER: tuple[Api, ...] = ("chat_completions", "responses", "messages")


def api_of(path: str, headers: Mapping[str, str], served: Container[Api]) -> Api | None:
    """The API a request beside turns belongs to, of those that are served."""
    if path.startswith("/messages/") or "anthropic-version" in headers:
        wanted: tuple[Api, ...] = ("messages",)
    elif path.startswith("/responses/"):
        wanted = ("responses",)
    else:
        wanted = _ORDER
    return next((api for api in wanted if api in served), None)


def name_of(path: str) -> str:
    """The action's name: `llm.count_tokens` for `/messages/count_tokens`, else `llm.models`."""
    last = path.rsplit("/", 1)[-1]
    return f"llm.{last}" if last.endswith("_tokens") else "llm.models"


def _said(body: bytes) -> dict[str, Any]:
    """What rules can read of a request's body: its model."""
    try:
        model = _model.decode(body).model
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {"model": model} if model else {}


@dataclass(slots=True, eq=False)
class Aside:
    """One such request. `path` is below the endpoint's base URL, without its query."""

    desk: Desk
    api: Api
    path: str
    binding: Binding
    channel: Channel
    id: str = ""
    settled: bool = False
    size: int = 0  # bytes sent and received
    began_ns: int = 0
    task: asyncio.Task[object] | None = None
    leg: Leg | None = None

    async def carry_out(self, request: web.Request) -> web.Response:
        """Reserve, pass on, write down. Returns the answer for the agent."""
        context = self.desk.context
        self.id = context.journal.new_action()
        body = await request.read()
        self.size = len(body)
        codec = CODECS[self.api]
        try:
            denied = await self._begin(body)
        except ProofrigError as error:  # it cannot be written down
            return answers.refuse(codec, 503, "rig_failed", f"proofrig: {error}")
        if denied is not None:
            return answers.denied(codec, denied)
        self.began_ns, self.task = context.clock(), asyncio.current_task()
        self.desk.open.add(self)
        try:
            self.leg = leg = self._leg(request, body)
            answer, whole = await self._pass_on(request, body, leg)
            self.size += len(whole)
            facts = {"status": answer.status, "response": context.journal.payload(whole)}
            facts |= at_fault(self.desk.upstreams[self.api].endpoint, answer.status)
            self._settle("ok" if answer.status < 300 else "fail", facts)
            headers = downstream_headers(answer.headers)
            return web.Response(status=answer.status, body=whole, headers=headers)
        except Cut as cut:
            self._settle("fail", {"error": "a fault broke the connection"})
            break_off(request, cut.how)
            return broken()
        except UpstreamError as error:
            self._settle("fail", error.facts)
            message = f"proofrig: {error}"
            return answers.refuse(codec, error.status, "upstream_unreachable", message, retry=True)
        finally:
            self._settle("unknown", {"error": "the agent closed the connection"})
            self.desk.open.discard(self)

    def give_up(self, why: str) -> None:
        """Settle as unknown and end the work: the trial or the rig has ended."""
        self._settle("unknown", {"error": why})
        if self.task is not None:
            self.task.cancel()

    def _settle(self, outcome: Outcome, facts: dict[str, Any]) -> None:
        """Write the action's end, once."""
        if self.settled:
            return
        self.settled = True
        context = self.desk.context
        end: dict[str, Any] = {"outcome": outcome, "source": "measured"} | told(self.leg, facts)
        end["service_ns"] = took = context.clock() - self.began_ns
        cost = traffic(took, self.size)
        with suppress(LedgerError):
            end["actual"] = context.authority.commit(self.id, cost, "measured", outcome)
        self._write("commit", end)

    async def _begin(self, body: bytes) -> Denied | None:
        context, binding, name = self.desk.context, self.binding, name_of(self.path)
        held = opening(len(body))
        attrs: dict[str, Any] = {"api": self.api, "channel": self.channel, "estimate": held}
        if body:
            attrs["request"] = context.journal.payload(body)
        said = _said(body) if context.authority.policy is not None else {}
        asking = ReserveRequest(self.id, binding.scope, name, held, self.desk.hold_ns, said)
        decision = context.admission.ask(binding, asking, attrs).decision
        if decision.effect == "ask":
            decision = await context.admission.approved(binding, name, decision)
        if not decision.allowed:
            return decision.denied()
        context.admission.start(binding, name, self.id)
        return None

    async def _pass_on(self, request: web.Request, body: bytes, leg: Leg) -> tuple[Answer, bytes]:
        upstream = self.desk.upstreams[self.api]
        told = self.binding if upstream.endpoint.simulated else None
        headers = upstream_headers(request.headers, self.desk.fixed[self.api], told)
        query = f"?{request.rel_url.raw_query_string}" if request.query_string else ""
        once = partial(upstream.send, request.method, self.path + query, headers, body)
        if not upstream.acquire():
            await upstream.wait()
        try:
            answer = await leg.send(once)
            try:
                return answer, await read(answer)
            finally:
                answer.close()
        finally:
            upstream.release()

    def _leg(self, request: web.Request, body: bytes) -> Leg:
        out = outbound(
            self.binding,
            "llm",
            self.api,
            self.id,
            name_of(self.path),
            method=request.method,
            path=self.path,
            query=request.rel_url.raw_query_string,
            key=key_of(request.headers),
            headers=request.headers,
            body=body,
        )
        return Leg(self.desk.context, out)

    def _write(self, kind: Kind, attrs: dict[str, Any]) -> None:
        name = name_of(self.path)
        self.desk.context.admission.write(kind, name, self.binding, self.id, attrs)
