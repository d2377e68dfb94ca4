"""The authority's HTTP service in this process, for tests: requests in, answers out."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from proofrig.authority.authority import Authority
from proofrig.authority.http.keys import Caller, Keys
from proofrig.authority.http.served import ServedMemory
from proofrig.authority.http.service import Service
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy

ADMIN, ACME, OTHER = "admin-key-0123456789", "acme-key-01234567890", "other-key-0123456789"
KEYS = {ADMIN: Caller(), ACME: Caller("acme", frozenset({"@writes"})), OTHER: Caller("other")}
RUN = "acme/desk/bot/r1"
SECOND = 1_000_000_000


def asked(id: str = "a1", **more: Any) -> dict[str, Any]:
    """The body of a reserve."""
    body = {"id": id, "scope": RUN, "name": "tool.refund", "amounts": {"calls": 1, "tokens": 100}}
    return body | more


@dataclass
class Answer:
    status: int
    raw: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Api:
    """Calls of one service. now: its clock, in ns, which only tests move."""

    url: str
    authority: Authority
    session: aiohttp.ClientSession
    key: str = ""
    now: list[int] = field(default_factory=list)

    async def __call__(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Answer:
        """`body` is bytes, or what JSON can hold. A `_` in the name of a header is a `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.key if key is None else key
        if token:
            given["Authorization"] = f"Bearer {token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        if data is not None and len(data) > 1 << 20:
            data = io.BytesIO(data)
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=data, headers=given) as response:
            return Answer(response.status, await response.read(), response.headers)

    async def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return await self("POST", path, body, **more)

    async def get(self, path: str, **more: Any) -> Answer:
        return await self("GET", path, **more)

    async def move(self, id: str, move: str, body: Any = None, **more: Any) -> Answer:
        return await self("POST", f"/reservations/{id}/{move}", body, **more)


@asynccontextmanager
async def served(
    journal: Path | None = None,
    *,
    policy: dict[str, Any] | None = None,
    keyed: bool = False,
    port: int = 0,
    make: Callable[[Ledger, Journal | None, Any], Authority] | None = None,
) -> AsyncIterator[Api]:
    """A service over the journal at `journal`, or over memory alone."""
    now = [1_000 * SECOND]
    ledger, kept = Ledger(), None if journal is None else Journal(journal)
    if kept is not None:
        kept.replay(ledger)
    rules = None if policy is None else parse_policy(policy)
    clock = lambda: now[0]  # noqa: E731
    authority = Authority(ledger, kept, clock, rules)
    if make is not None:
        authority = make(ledger, kept, clock)
    service = Service(ServedMemory(authority), Keys(KEYS) if keyed else None)
    runner = web.AppRunner(service.application(), access_log=None, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(url, authority, session, ADMIN if keyed else "", now)
    finally:
        await runner.cleanup()
        authority.close()
