"""The transparent tap for streamable HTTP MCP servers: `ANY /mcp/{server}` and below.

Rules:
1. Bodies pass byte for byte, both ways; streams pass chunk by chunk as they arrive, and stay open
   for as long as both ends want. Only `Exchange` may answer in a server's place.
2. Both protocol eras pass: sessions (`Mcp-Session-Id`) and stateless requests. A call of a session
   may be answered on a later stream; a call without one ends with its response.
3. When either end hangs up, so does the other: since 2026-07-28 that is how a call is cancelled.
4. A trial's token and baggage stay here; the server gets the headers its settings name.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proofrig.errors import ProofrigError
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.headers import downstream_headers
from proofrig.gateways.identity import Identity, without_trial
from proofrig.gateways.mcp_messages import Exchange, refusal
from proofrig.gateways.tool_action import Calls

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
        exchange = self._exchange(request, identity, name)
        try:
            if body:
                verdict = await exchange.from_client(body)
                if verdict.delay_s:
                    await asyncio.sleep(verdict.delay_s)
                if verdict.do in ("reply", "drop"):
                    return _answer(200 if verdict.body else 202, verdict.body)
                if verdict.do == "send":
                    body = verdict.body
            return await self._forward(request, server, exchange, body)
        finally:
            self._settle(request, identity, name, exchange)

    async def _forward(
        self, request: web.Request, server: HttpServer, exchange: Exchange, body: bytes
    ) -> web.StreamResponse:
        headers = _upstream_headers(request, server, exchange.identity)
        try:
            url = await server.started()
        except ProofrigError as error:
            exchange.fail(str(error), definite=True, infra=True)
            return _answer(502, refusal(body, str(error)))
        try:
            below = request.match_info.get("below")
            query = request.rel_url.raw_query_string
            target = url + (f"/{below}" if below else "") + (f"?{query}" if query else "")
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
            exchange.fail(text, definite=isinstance(error, never), infra=True)
            return _answer(502, refusal(body, text))
        try:
            return await _relay(request, exchange, answer)
        except BaseException:
            answer.close()
            raise

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


async def _relay(
    request: web.Request, exchange: Exchange, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    headers = downstream_headers(answer.headers)
    kind = answer.content_type
    if kind == "text/event-stream":
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        events = Events(exchange)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                if passed := await events.feed(chunk):
                    await response.write(passed)
        except (aiohttp.ClientError, OSError) as error:
            text = f"the server broke off its stream: {error}"
            exchange.fail(text, definite=False, infra=True)
            if request.transport is not None:
                request.transport.abort()
            return response
        await response.write_eof(events.rest())
        return response
    try:
        body = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        text = f"proofrig: the MCP server {exchange.server} broke off its answer: {error}"
        exchange.fail(text, definite=False, infra=True)
        return _answer(502, refusal(b"", text))
    if body:
        verdict = exchange.from_server(body)
        if verdict.delay_s:
            await asyncio.sleep(verdict.delay_s)
        body = body if verdict.do == "pass" else verdict.body
    if exchange.waits and answer.status >= 400:
        said = body[:300].decode("utf-8", "replace")
        broke = answer.status >= 500
        exchange.fail(f"HTTP {answer.status}: {said}", definite=True, infra=broke)
    return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)


class Events:
    """A server-sent event stream on its way: each event is seen before its last byte passes."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._held = bytearray()
        self._scanned = 0

    async def feed(self, chunk: bytes) -> bytes:
        """What may pass now, after `chunk` came: every event that is whole."""
        held = self._held
        held += chunk
        out = bytearray()
        while (end := _event_end(held, self._scanned)) >= 0:
            event = bytes(held[:end])
            del held[:end]
            self._scanned = 0
            data = _data(event)
            if data is None:
                out += event
                continue
            verdict = self._exchange.from_server(data)
            if verdict.delay_s:
                await asyncio.sleep(verdict.delay_s)
            if verdict.do == "pass":
                out += event
            elif verdict.body:
                out += _other_lines(event) + b"data: " + verdict.body + b"\n\n"
        self._scanned = max(0, len(held) - 3)
        return bytes(out)

    def rest(self) -> bytes:
        """What is left at the end of the stream: an event without its end."""
        return bytes(self._held)


def _event_end(held: bytearray, start: int) -> int:
    """The index after the first blank line at or after `start`, or -1."""
    ends = [
        place + len(mark)
        for mark in (b"\n\n", b"\r\n\r\n", b"\r\r")
        if (place := held.find(mark, start)) >= 0
    ]
    return min(ends, default=-1)


def _data(event: bytes) -> bytes | None:
    """The data of an event, or None when it has none."""
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line[:5] == b"data:"]
    return b"\n".join(lines) if any(lines) else None


def _other_lines(event: bytes) -> bytes:
    """What an event says besides its data: its kind, the id to go on from."""
    lines = (line for line in event.splitlines() if line and line[:5] != b"data:")
    return b"".join(line + b"\n" for line in lines)


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


def _owner(identity: Identity) -> str:
    return identity.binding.token if identity.binding else ""


def _answer(status: int, body: bytes) -> web.Response:
    if not body:
        return web.Response(status=status)
    return web.Response(status=status, body=body, content_type="application/json")
