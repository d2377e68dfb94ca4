"""The way to a ledger in Redis: its keys, its scripts, its journal, and what goes wrong on the way.

Rules:
1. All keys of a ledger have one hash tag, `{name}`: they lie on one node of a cluster, and a script
   is given every key that it touches.
2. Each call of a script is whole: a script that the server forgot is sent again.
3. A connection that breaks leaves open whether the call was booked: JournalError, not definite.
   The same call again, under the same id, gets the answer that the first one was given.
4. A ledger that is gone is never taken for a new one: it has a mark of its own, and where another
   mark or none is found, every call raises JournalError from then on.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisError, TimeoutError

from proofrig.authority.budget import MAX_AMOUNT, WINDOWS
from proofrig.authority.transition import Transition
from proofrig.authority.windows import SLICES
from proofrig.errors import JournalError, UsageError

_SCRIPTS = ("reserve", "event", "move", "settle", "scope", "balances")
_CONNECTIONS = 16  # more calls at once wait for one; the server runs one script at a time anyway
_PATIENCE_S = 5.0
_US_NS = 1_000

_pack = msgspec.msgpack.Encoder().encode
_transition = msgspec.json.Decoder(Transition).decode


def _scripts() -> dict[str, str]:
    folder = resources.files("proofrig.authority.redis") / "scripts"
    widths = ", ".join(f"{name} = {ns // SLICES // _US_NS}" for name, ns in WINDOWS.items())
    prelude = f"local SLICES, WIDTH, MAX = {SLICES}, {{{widths}}}, {MAX_AMOUNT}\n"
    shared = prelude + (folder / "shared.lua").read_text()
    return {name: shared + (folder / f"{name}.lua").read_text() for name in _SCRIPTS}


class RedisLink:
    """The ledger `name` on the server at `url`. keep: transitions that its journal keeps at least,
    0 for none. Raises UsageError for a name that makes no hash tag."""

    def __init__(self, url: str, name: str, keep: int) -> None:
        if not re.fullmatch(r"[\w.:-]+", name):
            raise UsageError(
                f"name: expected letters, digits and any of _ . : - for a ledger in Redis, got "
                f"{name!r}"
            )
        at = urlsplit(url)
        self.where = f"{at.hostname or at.path}:{at.port or 6379}, ledger {name}"
        self._name = name
        self._keep = keep
        self._epoch = ""
        self._fresh = uuid.uuid4().hex
        self._skip = len(self.scope_key("")) + 1
        own = ("ledger", "times", "journal", "scopes")
        self._keys = tuple(f"{{{name}}}:{part}" for part in own)
        self._times, self._journal, self._scopes = self._keys[1:]
        self._sources = _scripts()
        self._digests = {
            script: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            for script, source in self._sources.items()
        }
        self._client = Redis(
            connection_pool=BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=_PATIENCE_S,
                socket_timeout=_PATIENCE_S,
                socket_connect_timeout=_PATIENCE_S,
                retry=Retry(NoBackoff(), 1),  # the server may have closed an idle connection
            )
        )

    def id_key(self, id: str) -> str:
        return f"{{{self._name}}}:id:{id}"

    def scope_key(self, scope: str) -> str:
        return f"{{{self._name}}}:in:{scope}"

    async def run(
        self, script: str, given: dict[str, Any], scopes: Sequence[str], now_us: int | None
    ) -> list[Any]:
        """Run a script over `scopes` and, when `given` names one, an id. What it answers."""
        keys = [*self._keys]
        if "id" in given:
            keys.append(self.id_key(given["id"]))
        keys += map(self.scope_key, scopes)
        given |= {"skip": self._skip, "keep": self._keep, "fresh": self._fresh}
        if now_us is not None:
            given["now"] = now_us
        while True:
            given["epoch"] = self._epoch
            answer = await self._evaluate(script, keys, _pack(given))
            if answer[0] == b"lost":
                raise JournalError(self._lost(), definite=True)
            if answer[0] != b"epoch":
                return answer
            self._epoch = answer[1].decode()

    async def _evaluate(self, script: str, keys: list[str], argument: bytes) -> list[Any]:
        head = ("EVALSHA", self._digests[script])
        try:
            answer = await self.command(*head, len(keys), *keys, argument)
        except NoScriptError:
            head = ("EVAL", self._sources[script])
            answer = await self.command(*head, len(keys), *keys, argument)
        assert isinstance(answer, list)
        return answer

    async def command(self, *arguments: str | bytes | int) -> Any:
        """One command as it is. Raises JournalError, and NoScriptError for a script unknown."""
        try:
            return await self._client.execute_command(*arguments)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except (ConnectionError, TimeoutError, OSError) as error:
            raise JournalError(
                f"{self.where}: expected an answer from Redis, got: {error}; whether it was booked "
                "is not known; make the same call again, under the same id"
            ) from error
        except RedisError as error:
            raise JournalError(
                f"{self.where}: expected Redis to book it, got: {error}; nothing was booked",
                definite=True,
            ) from error

    async def read(self, id: str) -> list[bytes | None]:
        """[state, opened, last, expires] of an id, each None where there is none."""
        fields = ("state", "opened", "last", "expires")
        row: list[bytes | None] = await self.command("HMGET", self.id_key(id), *fields)
        return row

    async def due(self, now_us: int | None, count: int) -> list[str]:
        """The ids whose hold, or whose time to be remembered, is over; those longest over first."""
        if now_us is None:
            seconds, micros = await self.command("TIME")
            now_us = int(seconds) * 1_000_000 + int(micros)
        found = await self.command(
            *("ZRANGE", self._times, "-inf", now_us, "BYSCORE", "LIMIT", 0, count)
        )
        return [id.decode() for id in found]

    async def scopes(self) -> tuple[str, ...]:
        found = await self.command("LRANGE", self._scopes, 0, -1)
        return tuple(scope.decode() for scope in found)

    async def journal(self, after: int, count: int) -> list[Transition]:
        """Up to `count` transitions after number `after`."""
        found = await self.command(*("XRANGE", self._journal, f"({after}-0", "+", "COUNT", count))
        return [_transition(fields[1]) for _, fields in map(_row, found)]

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _lost(self) -> str:
        return (
            f"{self.where}: expected the ledger that this process has worked with, got none or "
            "another; the server was flushed, or restarted without what it held, so budgets, holds "
            "and what was spent are not known; restore its data, or restart this process to begin "
            "anew; keep Redis with appendonly yes"
        )


def _row(found: Any) -> tuple[Any, list[bytes]]:
    """An entry of a stream, whichever form the client gives it."""
    number, fields = found
    if isinstance(fields, dict):
        return number, [part for pair in fields.items() for part in pair]
    return number, fields
