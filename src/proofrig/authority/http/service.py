"""The authority as an HTTP service, over any engine.

Rules:
1. The same call again gets the same status and the same bytes, also after a restart on the same
   journal; see `messages` for what may change.
2. Every error has one shape and says what to do; what a caller sends never makes a 500.
3. Without keys there is one caller, who administers, and only names of this machine are answered.
4. A wait for an answer ends when the service closes.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from proofrig.authority.decision import Decision
from proofrig.authority.http import messages as m
from proofrig.authority.http.keys import Caller, Keys
from proofrig.authority.http.openapi import document
from proofrig.authority.http.operations import KEY_HEADER, OPERATIONS, PREFIX, Operation
from proofrig.authority.http.requests import (
    MAX_BODY,
    Reader,
    Wrong,
    bad,
    checked,
    decodable,
    nothing,
    queried,
)
from proofrig.authority.http.responses import (
    ENDED,
    decided,
    forbidden,
    refusal,
    reservation,
    respond,
    told,
    unknown,
)
from proofrig.authority.http.served import ServedEngine
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import IdempotencyError, InfraError, LedgerError, UsageError

SWEEP_S = 1.0
RETRY_S = 1  # told with a 503

_ADMIN = Caller()

_canonical = msgspec.json.Encoder(order="deterministic").encode
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, read: by whom, about which reservation or scope, and what it brings. id: as the
    caller says it; inside: as the ledger does."""

    caller: Caller
    id: str = ""
    scope: str = ""
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)
    header_id: str = ""

    @property
    def inside(self) -> str:
        return self.caller.inside(self.id)


class Service:
    """Serves one engine. keys: whose API key is whose; None: everybody administers."""

    def __init__(self, engine: ServedEngine, keys: Keys | None = None) -> None:
        self._engine = engine
        self._keys = keys
        self._document = msgspec.json.encode(document(keys is not None))
        self._answers: dict[str, asyncio.Task[Decision]] = {}
        self._closing = asyncio.Event()

    def application(self) -> web.Application:
        """The aiohttp application. It sweeps while it runs; the engine is its caller's to close."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guarded])
        app.router.add_route("GET", f"{PREFIX}/openapi.json", self._tell_document)
        for operation in OPERATIONS:
            path = operation.path.replace("{scope}", "{scope:.+}")
            app.router.add_route(operation.method, PREFIX + path, self._handler(operation))
        app.cleanup_ctx.append(self._swept)
        app.on_shutdown.append(self._close)
        return app

    # ---- around every call

    def _handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
        reader = Reader(operation.body) if operation.body is not None else None
        perform = getattr(self, operation.name)

        async def handle(request: web.Request) -> web.Response:
            caller = _ADMIN if operation.public else self._caller(request)
            if operation.admin and not caller.administers:
                raise forbidden(f"expected an administrator's key for {operation.name}")
            decodable(request)
            named = request.match_info
            id = checked(m.Id, "id", named["id"]) if "id" in named else ""
            scope = checked(m.Scope, "scope", named["scope"]) if "scope" in named else ""
            query = queried(operation, request)
            body = await (reader.read(request) if reader else nothing(request))
            key = request.headers.get(KEY_HEADER, "") if hasattr(body, "id") else ""
            call = Call(caller, id, scope, body, query, key)
            try:
                response: web.Response = await perform(call)
            except LedgerError as error:
                raise await self._refusal(operation, call, error) from None
            return response

        return handle

    @web.middleware
    async def _guarded(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        try:
            if self._keys is None and not is_local(request.host):
                said = f"expected a name of this machine in Host, got {request.host!r}"
                raise forbidden(f"{said}; serve with keys to be reached from elsewhere")
            return await handler(request)
        except Wrong as wrong:
            return respond(wrong.status, m.Error(wrong.fault), wrong.headers)
        except UsageError as error:
            return respond(400, m.Error(m.Fault("bad_request", str(error))))
        except InfraError as error:
            fault = m.Fault("unavailable", str(error), definite=error.definite)
            return respond(503, m.Error(fault), {"Retry-After": str(RETRY_S)})
        except web.HTTPException as error:
            return refusal(request, error)
        except Exception:
            _log.exception("%s %s", request.method, request.rel_url.raw_path)
            said = "a fault of the service, not of the call; its log has the traceback"
            return respond(500, m.Error(m.Fault("internal", said)))

    def _caller(self, request: web.Request) -> Caller:
        if self._keys is None:
            return _ADMIN
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        caller = self._keys.caller(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            got = "one that is nobody's" if key else "none"
            said = f"Authorization: expected `Bearer <key>` with an API key, got {got}"
            raise Wrong(401, m.Fault("unauthorized", said), {"WWW-Authenticate": "Bearer"})
        return caller

    async def _refusal(self, operation: Operation, call: Call, error: LedgerError) -> Wrong:
        """What a refused move is answered with."""
        id = call.id or call.header_id or getattr(call.body, "id", "")
        said = str(error).replace(repr(call.caller.inside(id)), repr(id))
        if isinstance(error, IdempotencyError):
            return Wrong(409, m.Fault("idempotency_mismatch", said))
        seen = await self._engine.look(call.inside) if call.id else None
        if seen is None:
            return unknown(call.id) if call.id else Wrong(409, m.Fault("conflict", said))
        if seen.state in ENDED and 410 in operation.errors:
            told = reservation(seen, call.id)
            did = "charged" if seen.state == "expired_charged" else "given back"
            said = (
                f"{said}; its hold ran out and was {did}: {told.charged or told.asked}; book what "
                f"is above what was charged by POST {PREFIX}/events, under an id made from this one"
            )
            return Wrong(410, m.Fault("expired", said, reservation=told))
        return Wrong(409, m.Fault("conflict", said))

    # ---- the calls

    async def reserve(self, call: Call) -> web.Response:
        body: m.Reserve = call.body
        id = _id_of(body.id, call.header_id)
        extra = (body.arguments, body.root, body.ahead, body.digest)
        request = ReserveRequest(
            call.caller.inside(id),
            body.scope,
            body.name,
            body.amounts,
            body.ttl_ms * m.MS_NS,
            body.arguments,
            body.root,
            _touchable(call.caller, body.scope, body.also),
            body.ahead,
            _digest(extra) if any(extra) else "",
        )
        return decided(await self._engine.reserve(request), id)

    async def event(self, call: Call) -> web.Response:
        body: m.Event = call.body
        id = _id_of(body.id, call.header_id)
        request = ReserveRequest(
            call.caller.inside(id),
            body.scope,
            body.name,
            body.amounts,
            also=_touchable(call.caller, body.scope, body.also),
            digest=_digest(("event", body.source, body.outcome, body.digest)),
        )
        charged = await self._engine.event(request, body.source, body.outcome)
        return respond(201, m.Charged(id, "committed", charged))

    async def start(self, call: Call) -> web.Response:
        await self._engine.start(call.inside)
        return respond(200, m.Moved(call.id, "started"))

    async def commit(self, call: Call) -> web.Response:
        body: m.Commit = call.body
        charged = await self._engine.commit(
            call.inside, body.actual, body.source, body.outcome, price=body.price
        )
        return respond(200, m.Charged(call.id, "committed", charged))

    async def release(self, call: Call) -> web.Response:
        await self._engine.release(call.inside, call.body.reason)
        return respond(200, m.Moved(call.id, "released"))

    async def extend(self, call: Call) -> web.Response:
        expires = await self._engine.extend(call.inside, call.body.ttl_ms * m.MS_NS)
        return respond(200, m.Extended(call.id, expires // m.MS_NS))

    async def approve(self, call: Call) -> web.Response:
        return respond(200, told(await self._engine.approve(call.inside, call.body.by), call.id))

    async def refuse(self, call: Call) -> web.Response:
        body: m.Refuse = call.body
        decision = await self._engine.refuse(call.inside, body.by, body.reason)
        return respond(200, told(decision, call.id))

    async def look(self, call: Call) -> web.Response:
        seen = await self._engine.look(call.inside)
        if seen is None:
            raise unknown(call.id)
        return respond(200, reservation(seen, call.id))

    async def pending(self, call: Call) -> web.Response:
        found = []
        for inside in await self._engine.pending():
            seen = await self._engine.look(inside) if call.caller.owns(inside) else None
            if seen is not None and seen.state == "pending":
                found.append(reservation(seen, call.caller.outside(inside)))
        return respond(200, m.Reservations(found))

    async def answer(self, call: Call) -> web.Response:
        task = self._answers.get(call.inside)
        if task is None:
            task = asyncio.ensure_future(self._engine.answer(call.inside))
            self._answers[call.inside] = task
            task.add_done_callback(lambda done: self._answered(call.inside, done))
        await asyncio.sleep(0)  # what is answered already is told now, also with wait_s=0
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                {task, closing},
                timeout=call.query["wait_s"] or 0.01,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            closing.cancel()
        if not task.done():
            return respond(202, m.Moved(call.id, "pending"))
        return respond(200, told(task.result(), call.id))

    def _answered(self, id: str, done: asyncio.Task[Decision]) -> None:
        self._answers.pop(id, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; nobody may be left to

    async def balances(self, call: Call) -> web.Response:
        scope: str = call.query["scope"]
        _touchable(call.caller, scope, [])
        found = await self._engine.balances(scope)
        told = {
            unit: m.UnitBalance(one.allocated, one.reserved, one.spent, one.remaining, one.debt)
            for unit, one in found.items()
        }
        return respond(200, m.Balances(scope, told))

    async def scopes(self, call: Call) -> web.Response:
        seen = [one for one in await self._engine.scopes() if call.caller.may_touch(one)]
        return respond(200, m.Scopes(seen))

    async def set_budget(self, call: Call) -> web.Response:
        await self._engine.set_budget(call.scope, call.body.amounts)
        return respond(200, m.Budget(call.scope, call.body.amounts))

    async def stop(self, call: Call) -> web.Response:
        body: m.Stop = call.body
        await self._engine.stop(body.scope, body.reason)
        return respond(200, m.Stopped(body.scope, body.reason))

    async def health(self, call: Call) -> web.Response:
        await self._engine.check()
        return respond(200, m.Health("ok"))

    async def _tell_document(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")

    # ---- what goes on by itself

    async def _swept(self, app: web.Application) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(self._sweep())
        yield
        for task in (sweeping, *self._answers.values()):
            task.cancel()
            with suppress(asyncio.CancelledError, LedgerError, InfraError):
                await task

    async def _sweep(self) -> None:
        failing = ""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._engine.sweep()
                await self._engine.check()
                failing = ""
            except InfraError as error:
                if str(error) != failing:
                    _log.error("%s", error)
                failing = str(error)

    async def _close(self, app: web.Application) -> None:
        self._closing.set()


# ---- inside


def is_local(host: str) -> bool:
    """True for a name or address of this machine, with or without a port."""
    name = host.rpartition(":")[0] if host.count(":") == 1 or "]:" in host else host
    name = name.strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _id_of(body: str | msgspec.UnsetType, header: str) -> str:
    if header:
        checked(m.Id, KEY_HEADER, header)
    if body is msgspec.UNSET and not header:
        raise bad(f"body: expected an id, or one in the header {KEY_HEADER}; got neither")
    if body is not msgspec.UNSET and header and body != header:
        raise bad(f"expected one id, got {body!r} in the body and {header!r} in {KEY_HEADER}")
    return header if body is msgspec.UNSET else str(body)


def _touchable(caller: Caller, scope: str, also: list[str]) -> tuple[str, ...]:
    """`also`, when the caller may touch it and `scope`. Raises Wrong."""
    for one in (scope, *also):
        if not caller.may_touch(one):
            raise forbidden(
                f"scope: expected one of tenant {caller.tenant!r} or an @ scope listed for the "
                f"key, got {one!r}"
            )
    return tuple(also)


def _digest(parts: tuple[Any, ...]) -> str:
    return hashlib.sha256(_canonical(parts)).hexdigest()[:32]
