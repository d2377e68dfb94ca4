"""Requests that are read: plain ones, and those inside TLS that ends here.

Rules:
1. A request is read whole before it is passed on; its answer passes chunk for chunk.
2. A vendor's default URL is answered by the rig's own model gateway, which writes the call down;
   so is what reaches the rig's port by way of this proxy. Neither is an action here.
3. A passage is settled before the agent can know that its answer has ended. When the host breaks
   off, the agent's connection breaks too; when the agent goes away, the host's is closed.
4. Where bytes run out, the answer ends there, without an end.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp import web
from aiohttp.helpers import must_be_empty_body
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict
from yarl import URL

from proofrig.cassettes.encoding import readable
from proofrig.errors import ProofrigError, UsageError
from proofrig.gateways.breaking import break_off, broken, relay_pieces
from proofrig.gateways.egress.access import why
from proofrig.gateways.egress.callers import Asked, Caller, Stranger
from proofrig.gateways.egress.heads import passing, proxy_user, refusal, size_of
from proofrig.gateways.egress.hosts import place
from proofrig.gateways.egress.outside import HostAnswer, Unreachable
from proofrig.gateways.egress.passage import Passage
from proofrig.gateways.headers import downstream_headers
from proofrig.gateways.leg import clear
from proofrig.wire.answer import Answer, Cut, How

if TYPE_CHECKING:
    from proofrig.gateways.egress.desk import Desk

KEPT = 1 << 20  # bytes of an answer that are kept as evidence; of a longer one, none
MAX_FIELD = 1 << 15


class Reading(RequestHandler):
    """Reads the requests of one connection. inside: the CONNECT whose TLS ends here, None for plain
    requests. lost: the connection is gone."""

    __slots__ = ("inside", "lost")

    inside: Asked | None
    lost: bool

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True
        super().connection_lost(exc)

    def log_exception(self, *args: Any, **more: Any) -> None:
        """What an agent writes wrong is answered, and no trouble of the rig's."""
        if not isinstance(more.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **more)


class Requests(web.Server):
    """Serves the requests of a gateway."""

    def __init__(self, desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            self._handle,  # type: ignore[arg-type]  # the requests that `_request` makes
            request_factory=partial(_request, loop),
            handler_cancellation=True,
            loop=loop,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=desk.limits.idle_s,
            lingering_time=1.0,
            max_line_size=MAX_FIELD,
            max_field_size=MAX_FIELD,
        )
        self._desk = desk

    def reading(self, inside: Asked | None = None) -> Reading:
        """What reads the requests of a new connection."""
        made = Reading(self, loop=self._loop, **self._kwargs)
        made.inside, made.lost = inside, False
        return made

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.protocol, Reading)
        inside = request.protocol.inside
        try:
            asked, url = _asked(request, inside)
        except (UsageError, ValueError) as error:
            return refusal(400, "malformed", f"proofrig: {error}")
        desk = self._desk
        if inside is not None and desk.vendor(asked.where):
            if not desk.reporters.meant(asked.where, asked.path):
                return await self._to_rig(request, asked)
        elif desk.rigs(asked.where):
            return await self._to_rig(request, asked)
        identity = desk.callers.look(asked)
        if desk.reporters.meant(asked.where, asked.path):
            body = await _body(request, desk.limits.body)
            size = desk.limits.body if body is None else len(body)
            facts = {"method": asked.method, "path": asked.path, "bytes": size}
            desk.note("telemetry", identity.binding, host=asked.where.host, **facts)
            return web.Response(status=204)
        caller = desk.callers.admit(asked, identity)
        if isinstance(caller, Stranger):
            return refusal(caller.status, caller.code, caller.message, caller.headers)
        return await self._carry_out(request, asked, caller, url)

    # ---- to a host

    async def _carry_out(
        self, request: web.Request, asked: Asked, caller: Caller, url: URL
    ) -> web.StreamResponse:
        """One passage, from its reservation to its end."""
        desk = self._desk
        inside = request.protocol.inside  # type: ignore[attr-defined]
        passage = desk.passage(asked, caller, "plain" if inside is None else "intercepted")
        passage.task = asyncio.current_task()
        desk.open.add(passage)
        try:
            body = await _body(request, desk.limits.body)
            refused = await passage.begin(_blocked(desk, request, asked, body), body or b"")
            if refused is not None:
                return refusal(403, refused.code, refused.message)
            return await self._pass_on(request, passage, url, body or b"")
        except Cut as cut:
            passage.settle("fail", status=0, error="a fault broke the connection")
            break_off(request, cut.how)
            return broken()
        except Unreachable as error:
            passage.settle("fail", **error.facts)
            return refusal(error.status, error.code or "unreachable", f"proofrig: {error}")
        except web.RequestPayloadError as error:
            return refusal(400, "malformed", f"proofrig: expected a whole body, got: {error}")
        except (asyncio.CancelledError, ConnectionResetError) as error:
            passage.give_up("agent", "the agent closed the connection")
            if isinstance(error, asyncio.CancelledError):
                raise
            return broken()
        except ProofrigError as error:
            passage.fail(str(error))
            return refusal(503, "rig_failed", f"proofrig: {error}")
        except BaseException as error:
            passage.fail(f"{type(error).__name__}: {error}")
            raise
        finally:
            desk.open.discard(passage)

    async def _pass_on(
        self, request: web.Request, passage: Passage, url: URL, body: bytes
    ) -> web.StreamResponse:
        desk, headers = self._desk, passing(request.headers)
        if desk.context.tape is not None and "accept-encoding" in headers:
            headers["accept-encoding"] = readable(headers["accept-encoding"])
        first = f"{request.method} {url.raw_path_qs} HTTP/1.1"
        size = size_of(first, headers) + len(body)
        if passage.send(size) < size:
            return _used_up(passage)
        once = partial(desk.outside.send, request.method, url, headers, body)
        if clear(desk.context):
            answer: Answer = await once()
        else:
            answer = await passage.outbound(request.headers, body, url.raw_query_string).send(once)
        try:
            return await _relay(request, passage, answer)
        finally:
            answer.close()

    # ---- to the rig itself

    async def _to_rig(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        """Ask the rig's other gateways, in the trial's name where the proxy's user tells it."""
        desk = self._desk
        user = "" if request.path.startswith("/t/") else asked.user
        live = desk.context.bindings.live(user) if user else None
        prefix = f"/t/{user}" if live is not None else ""
        path = (
            request.raw_path
            if request.raw_path.startswith("/")
            else URL(request.raw_path, encoded=True).raw_path_qs
        )
        url = URL(f"http://127.0.0.1:{desk.rig_port}{prefix}{path}", encoded=True)
        body = await _body(request, desk.limits.body)
        if body is None:
            return refusal(413, "too_large", _TOO_LARGE.format(desk.limits.body))
        try:
            found = await desk.context.client.request(
                request.method,
                url,
                data=body or None,
                headers=passing(request.headers, ours=True),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            break_off(request, _how(error))
            return broken()
        answer = HostAnswer(found, lambda error: Unreachable(str(error)))
        try:
            if must_be_empty_body(request.method, answer.status):
                return _bodiless(answer)
            headers = downstream_headers(answer.headers)
            return (await relay_pieces(request, answer, headers, _nothing))[0]
        except Unreachable as error:
            break_off(request, _how(error))
            return broken()
        finally:
            answer.close()


class _Metered:
    """An answer of which no more passes than the trial's bytes allow."""

    def __init__(self, answer: Answer, passage: Passage) -> None:
        self.status, self.reason, self.headers = answer.status, answer.reason, answer.headers
        self.length: int = getattr(answer, "length", -1)
        self._answer = answer
        self._passage = passage
        self.cut = False
        self._first: bytes | None = None
        self._broke: Exception | None = None

    async def whole(self) -> bytes | None:
        """The body, when all of it is here already: it then leaves with its head."""
        if not isinstance(self._answer, HostAnswer) or self.length < 0:
            return None
        try:
            self._first = await self.readany()
        except (Cut, Unreachable) as broke:
            self._broke = broke  # after the head, as it came
            return None
        return self._first if len(self._first) == self.length else None

    async def readany(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._broke is not None:
            raise self._broke
        if self.cut:
            raise Cut("close")
        chunk = await self._answer.readany()
        taken = self._passage.receive(len(chunk))
        self.cut = taken < len(chunk)
        if self.cut and not taken:
            raise Cut("close")
        return chunk[:taken]

    def close(self) -> None:
        self._answer.close()


async def _relay(request: web.Request, passage: Passage, answer: Answer) -> web.StreamResponse:
    """Pass an answer on, and settle its passage."""
    status = answer.status
    size = size_of(f"HTTP/1.1 {status} {answer.reason or ''}", answer.headers)
    if passage.receive(size) < size:
        return _used_up(passage)
    if must_be_empty_body(request.method, status):
        _whole(passage, status, b"")
        return _bodiless(answer)
    metered, kept, came = _Metered(answer, passage), bytearray(), 0

    def seen(chunk: bytes) -> None:
        nonlocal came
        came += len(chunk)
        if came <= KEPT:
            kept.extend(chunk)
        if came == metered.length and not metered.cut:  # before the agent can know it is whole
            _whole(passage, status, bytes(kept) if came <= KEPT else b"")

    headers = downstream_headers(answer.headers)
    try:
        if (body := await metered.whole()) is not None:
            seen(body)
            return web.Response(status=status, reason=answer.reason, body=body, headers=headers)
        response, cut = await relay_pieces(request, metered, headers, seen)
    except Unreachable as error:
        passage.settle("fail", status=status, error=str(error))
        break_off(request, _how(error))
        return broken()
    if metered.cut:
        passage.settle("fail", status=status, blocked="byte_cap")
    elif cut is not None:
        passage.settle("fail", status=status, error="the answer broke off")
    else:
        _whole(passage, status, bytes(kept) if came <= KEPT else b"")
    return response


def _whole(passage: Passage, status: int, body: bytes) -> None:
    if body and not passage.settled:
        passage.facts["response"] = passage.context.journal.payload(body)
    passage.settle("ok" if status < 400 else "fail", status=status)


def _bodiless(answer: Answer) -> web.Response:
    """An answer that has no body, whatever length its head tells of."""
    headers: CIMultiDict[str] = downstream_headers(answer.headers)
    if said := answer.headers.get("content-length"):
        headers["content-length"] = said
    return web.Response(status=answer.status, reason=answer.reason, headers=headers)


def _used_up(passage: Passage) -> web.Response:
    code = passage.spent or "byte_cap"
    passage.settle("fail", status=403, blocked=code)
    return refusal(403, code, f"proofrig: {why(code, passage.where)}")


def _how(error: BaseException) -> How:
    """How a connection broke: reset, or closed before its end."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionResetError):
            return "reset"
        cause = cause.__cause__
    return "close"


def _asked(request: web.Request, inside: Asked | None) -> tuple[Asked, URL]:
    """What is asked for, and its URL. Raises UsageError, ValueError."""
    target = request.raw_path
    if not target.isascii() or request.method == "CONNECT":
        raise UsageError(f"expected a URL of ASCII characters, got {target[:80]!r}")
    if inside is not None:
        if not target.startswith("/"):
            raise UsageError(f"expected a path, got {target[:80]!r}")
        url = URL(f"https://{inside.where}{target}", encoded=True)
        asked = Asked(request.method, inside.where, request.headers, inside.user or "", url.path)
        return asked, url
    url = URL(target, encoded=True)
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(
            f"expected a whole URL such as http://example.com/, got {target[:80]!r}: this port is "
            "a proxy"
        )
    where = place(f"[{url.host}]" if ":" in url.host else url.host, url.port or 0)
    user = proxy_user(request.headers)
    asked = Asked(request.method, where, request.headers, user, url.path)
    return asked, url.with_user(None) if url.raw_user is not None else url


def _blocked(desk: Desk, request: web.Request, asked: Asked, body: bytes | None) -> str:
    if body is None:
        return "too_large"
    upgrade = request.headers.get("upgrade", "").lower()
    if upgrade == "websocket" and "upgrade" in request.headers.get("connection", "").lower():
        return "upgrade"
    return desk.access.judge(asked.where)


async def _body(request: web.Request, most: int) -> bytes | None:
    """The body of a request; None when it is longer than `most`."""
    if request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer's own head is still to come
    if not request.body_exists:
        return b""
    parts, size = [], 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > most:
            return None
        parts.append(chunk)
    return b"".join(parts)


def _request(loop: asyncio.AbstractEventLoop, *given: Any) -> web.Request:
    return cast(Any, web.Request)(*given, loop)  # type: ignore[no-any-return]


def _nothing(chunk: bytes) -> None:
    """Nobody looks at what passes."""


_TOO_LARGE = "proofrig: expected a body of at most {} bytes"
