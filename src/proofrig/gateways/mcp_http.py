"""The transparent tap for streamable HTTP MCP servers: `ANY /mcp/{server}` and below.

Rules:
1. Bodies pass byte for byte, both ways; streams pass chunk by chunk as they arrive, and stay open
   for as long as both ends want. Only `Exchange`, and what stands on a call's leg, may answer in a
   server's place.
2. Both protocol eras pass: sessions (`Mcp-Session-Id`) and stateless requests. A call of a session
   may be answered on a later stream; a call without one ends with its response.
3. When either end hangs up, so does the other: since 2026-07-28 that is how a call is cancelled.
4. Where a recording answers for a server, nothing reaches it: no stream, no end of a session.
5. A trial's token and baggage stay here; the server gets the headers its settings name.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proofrig.errors import ProofrigError, ProviderError
from proofrig.gateways.breaking import break_off, broken, relay_whole
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.headers import downstream_headers
from proofrig.gateways.identity import Identity, key_of, without_trial
from proofrig.gateways.leg import clear, outbound
from proofrig.gateways.mcp_leg import McpLeg, data_of, with_data
from proofrig.gateways.mcp_messages import Exchange, messages_of, refusal
from proofrig.gateways.tool_action import Calls
from proofrig.gateways.tool_leg import BROKE
from proofrig.gateways.upstream import LiveAnswer
from proofrig.wire.answer import Answer, Cut, read, streams
from proofrig.wire.sse import EventSplitter

SESSION = "mcp-session-id"
TOKEN = "x-proofrig-token"  # to the rig's own server, which has to know whose call it is
_NOT_UPSTREAM = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
        "accept-encoding",
    }
)
_KEYS = ("authorization", "x-api-key", "api-key")
_BIG = 1 << 20  # aiohttp wants larger bodies as files
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)


class HttpServer:
    """An MCP server behind a URL. `started` is awaited before each request and gives the URL, so
    that a server may start with its first request. `own`: the rig's server, told the token."""

    def __init__(
        self,
        started: Callable[[], Awaitable[str]],
        headers: Mapping[str, str] | None = None,
        *,
        own: bool = False,
    ) -> None:
        self.started = started
        self.headers = dict(headers or {})
        self.own = own

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str] | None = None) -> HttpServer:
        """A server that runs already."""

        async def started() -> str:
            return url

        return cls(started, headers)


class McpHttpGateway:
    """The taps of all `servers` of a suite, by name."""

    def __init__(self, context: Context, calls: Calls, servers: Mapping[str, HttpServer]) -> None:
        self._context = context
        self._calls = calls
        self._servers = dict(servers)
        self._sessions: dict[tuple[str, str, str], Exchange] = {}  # what their POSTs left open
        context.bindings.on_end.append(self._trial_ended)

    def routes(self) -> list[web.RouteDef]:
        """`ANY /mcp/{server}` and subpaths, bare and below `/t/{token}`."""
        return [
            web.route("*", f"{prefix}/mcp/{{server}}{below}", self._handle)
            for prefix in ("", "/t/{token}")
            for below in ("", "/{below:.*}")
        ]

    async def close(self) -> None:
        """Give up what waits for an answer."""
        for exchange in self._sessions.values():
            exchange.close("the rig ended before the server answered")
        self._sessions.clear()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["server"]
        body = await request.read()
        token = request.match_info.get("token", "")
        identity = self._calls.identify(request.headers, token)
        server = self._servers.get(name)
        if server is None:
            known = ", ".join(sorted(self._servers)) or "none"
            text = f"proofrig: no MCP server {name!r} in this suite; it has: {known}"
            return _answer(404, refusal(body, text))
        if identity.state in ("unknown", "late") and identity.channel != "key":
            return _answer(401, refusal(body, self._calls.note_stranger(identity, None, name)))
        if request.method != "POST" and self._is_replayed(identity, name):
            return _beside(request.method)
        exchange = self._exchange(request, identity, name)
        try:
            if body:
                verdict = await exchange.from_client(body)
                if verdict.do in ("reply", "drop"):
                    return _answer(200 if verdict.body else 202, verdict.body)
                if verdict.do == "send":
                    body = verdict.body
            leg = self._leg(request, exchange, body)
            return await self._forward(request, server, exchange, body, leg)
        finally:
            self._settle(request, identity, name, exchange)

    def _is_replayed(self, identity: Identity, server: str) -> bool:
        """True when nothing of this trial may reach the server: a recording answers for it."""
        tape, binding = self._context.tape, identity.binding
        return (
            tape is not None
            and binding is not None
            and tape.keeps(outbound(binding, "tool", "mcp", "", "mcp", server=server))
        )

    def _leg(self, request: web.Request, exchange: Exchange, body: bytes) -> McpLeg | None:
        """The leg of a POST of a live trial, where there is anything on it."""
        identity = exchange.identity
        if clear(self._context) or request.method != "POST" or not body:
            return None
        found = exchange.call_of(body)
        binding = identity.binding if found is None else found[1].binding
        if binding is None or (found is None and identity.state != "live"):
            return None
        messages = messages_of(body)
        message = messages[0] if len(messages) == 1 else None
        call = None if found is None else found[1]
        leg = McpLeg(
            self._context,
            binding,
            exchange.server,
            message,
            call,
            headers=request.headers,
            whole=body,
            method="POST",
            path=f"/mcp/{exchange.server}",
            key=key_of(request.headers),
        )
        if call is not None:
            call.leg = leg
        return leg

    async def _forward(
        self,
        request: web.Request,
        server: HttpServer,
        exchange: Exchange,
        body: bytes,
        leg: McpLeg | None,
    ) -> web.StreamResponse:
        once = partial(self._send, request, server, exchange, body)
        try:
            answer = await (once() if leg is None else leg.send(once))
        except Cut as cut:
            exchange.fail(BROKE, definite=True)
            break_off(request, cut.how)
            return broken()
        except ProofrigError as error:
            exchange.fail(str(error), definite=error.definite, infra=True)
            return _answer(502, refusal(body, str(error)))
        try:
            return await _relay(request, exchange, answer, leg)
        finally:
            answer.close()  # a whole answer has given its connection back already
            if leg is not None and leg.struck and (leg.truth is not None or not leg.carried):
                exchange.close("a fault kept the answer from its agent")

    async def _send(
        self, request: web.Request, server: HttpServer, exchange: Exchange, body: bytes
    ) -> LiveAnswer:
        """Pass a request on. Raises ProofrigError."""
        headers = _upstream_headers(request, server, exchange.identity)
        url = await server.started()
        below = request.match_info.get("below")
        query = request.rel_url.raw_query_string
        target = url + (f"/{below}" if below else "") + (f"?{query}" if query else "")
        try:
            answer = await self._context.client.request(
                request.method,
                URL(target, encoded=True),
                data=(body if len(body) < _BIG else io.BytesIO(body)) or None,
                headers=headers,
                allow_redirects=False,
                timeout=_TIMEOUT,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            never = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            text = f"proofrig: the MCP server {exchange.server} cannot be reached: {error}"
            raise ProviderError(text, definite=isinstance(error, never)) from error
        return LiveAnswer(answer, partial(_broke_off, exchange.server))

    def _exchange(self, request: web.Request, identity: Identity, server: str) -> Exchange:
        """One for each POST; a later stream of a session gets what its POSTs left open."""
        session = request.headers.get(SESSION, "")
        if request.method != "GET" or not session:
            return Exchange(self._calls, identity, server)
        key = (_owner(identity), server, session)
        return self._sessions.setdefault(key, Exchange(self._calls, identity, server))

    def _settle(
        self, request: web.Request, identity: Identity, server: str, exchange: Exchange
    ) -> None:
        """After a response: calls of a session may be answered later, all others never will."""
        session = request.headers.get(SESSION, "")
        key = (_owner(identity), server, session)
        if not session:
            exchange.close("the connection ended before the server answered")
        elif request.method == "DELETE":
            if (left := self._sessions.pop(key, None)) is not None:
                left.close("the agent ended the session before the server answered")
        elif request.method == "GET":
            if not exchange.waits and self._sessions.get(key) is exchange:
                del self._sessions[key]
        elif exchange.waits:
            fresh = Exchange(self._calls, identity, server)
            self._sessions.setdefault(key, fresh).adopt(exchange)

    def _trial_ended(self, binding: Binding) -> None:
        for key in [key for key in self._sessions if key[0] == binding.token]:
            self._sessions.pop(key).close("the trial ended before the server answered")


def _broke_off(server: str, error: Exception) -> ProviderError:
    text = f"proofrig: the MCP server {server} broke off its answer: {error}"
    return ProviderError(text, definite=False)


async def _relay(
    request: web.Request, exchange: Exchange, answer: Answer, leg: McpLeg | None
) -> web.StreamResponse:
    if streams(answer):
        return await _relay_stream(request, exchange, answer, leg)
    if leg is not None and not leg.spared:
        return await _relay_pieces(request, exchange, await leg.readdressed(answer))
    try:
        body = await (answer.read() if isinstance(answer, LiveAnswer) else read(answer))
    except ProofrigError as error:
        exchange.fail(str(error), definite=False, infra=True)
        return _answer(502, refusal(b"", str(error)))
    if body and leg is not None:
        body = leg.addressed(body)
    if body:
        verdict = exchange.from_server(body)
        body = body if verdict.do == "pass" else verdict.body
    _end_at(exchange, answer.status, body)
    headers = downstream_headers(answer.headers)
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)


async def _relay_stream(
    request: web.Request, exchange: Exchange, answer: Answer, leg: McpLeg | None
) -> web.StreamResponse:
    headers = downstream_headers(answer.headers)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    events = Events(exchange, leg)
    await response.prepare(request)
    try:
        while chunk := await answer.readany():
            if passed := events.feed(chunk):
                await response.write(passed)
    except Cut as cut:
        exchange.fail(BROKE, definite=False)
        break_off(request, cut.how)
        return response
    except ProofrigError as error:
        exchange.fail(str(error), definite=False, infra=True)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof(events.rest())
    return response


async def _relay_pieces(
    request: web.Request, exchange: Exchange, answer: Answer
) -> web.StreamResponse:
    """A body that a fault may have made: piece by piece, with the length its head says."""

    def whole(body: bytes) -> None:
        exchange.from_server(body)
        _end_at(exchange, answer.status, body)

    response, cut = await relay_whole(request, answer, downstream_headers(answer.headers), whole)
    if cut is not None:
        exchange.fail(BROKE, definite=False)
    return response


def _end_at(exchange: Exchange, status: int, body: bytes) -> None:
    """End what a body has not ended, when its status says that it failed."""
    if exchange.waits and status >= 400:
        said = body[:300].decode("utf-8", "replace")
        exchange.fail(f"HTTP {status}: {said}", definite=True, infra=status >= 500)


class Events:
    """A server-sent event stream on its way: each event is seen before its last byte passes."""

    def __init__(self, exchange: Exchange, leg: McpLeg | None = None) -> None:
        self._exchange = exchange
        self._leg = leg
        self._splitter = EventSplitter()

    def feed(self, chunk: bytes) -> bytes:
        """What may pass now, after `chunk` came: every event that is whole."""
        return b"".join(self._passed(event) for event in self._splitter.feed(chunk))

    def _passed(self, event: bytes) -> bytes:
        data = data_of(event)
        if data is None:
            return event
        ours = data if self._leg is None else self._leg.addressed(data)
        verdict = self._exchange.from_server(ours)
        if verdict.do != "pass":
            return with_data(event, verdict.body) if verdict.body else b""
        return event if ours == data else with_data(event, ours)

    def rest(self) -> bytes:
        """What is left at the end of the stream: an event without its end."""
        return self._splitter.held()


def _upstream_headers(
    request: web.Request, server: HttpServer, identity: Identity
) -> CIMultiDict[str]:
    out: CIMultiDict[str] = CIMultiDict()
    ours = identity.binding.token if identity.binding else ""
    for name, value in request.headers.items():
        low = name.lower()
        if low in _NOT_UPSTREAM or low.startswith("x-proofrig-"):
            continue
        if low in _KEYS and ours and value.rpartition(" ")[2] == ours:
            continue
        if low == "baggage" and not (value := without_trial(value)):
            continue
        out.add(name, value)
    out["accept-encoding"] = "identity"
    out.update(server.headers)
    if server.own:
        out[TOKEN] = ours
    return out


def _beside(method: str) -> web.Response:
    """The answer to what is no message, where a recording answers: there is no stream of the
    server's own to listen to, and a session ends."""
    if method == "DELETE":
        return web.Response(status=200)
    return web.Response(status=405, headers={"allow": "POST, DELETE"})


def _owner(identity: Identity) -> str:
    return identity.binding.token if identity.binding else ""


def _answer(status: int, body: bytes) -> web.Response:
    if not body:
        return web.Response(status=status)
    return web.Response(status=status, body=body, content_type="application/json")
