"""A Redis server as agents reach it through the rig: seen, and otherwise as it is.

    agent ──▶ client side ──▶ words ──▶ `start`, passed on ──▶ server side ──▶ Redis
    agent ◀── the same bytes ◀──────── `commit` ◀── value ◀── reader ◀──────── reply

Rules:
1. Bytes pass through untouched in both directions. Only what names a trial is answered here and
   taken off: `AUTH` or `HELLO ... AUTH` with a trial's token, `CLIENT SETNAME proofrig:<token>`,
   and `PROOFRIG.TRIAL <token>`, which gets no answer at all.
2. A command goes on when it is whole and its `start` is written; a reply goes on at once, and its
   `commit` is written then. A connection that is lost between the two leaves `unknown`.
3. Inside MULTI nothing has happened: what was queued starts with EXEC. What was written under
   WATCH is a compare-and-set of each key, and fails where EXEC gives null.
4. Traffic that names no trial is recorded as nobody's.
5. A connection that cannot be read on (replication, MONITOR, CLIENT REPLY OFF) is passed through
   blind, and a note says so.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, cast
from urllib.parse import unquote, urlsplit

from proofrig.errors import InfraError, UsageError
from proofrig.gateways.gateway import Binding, Bindings
from proofrig.gateways.redis_commands import Scripts
from proofrig.gateways.redis_dialogue import SWALLOWED, Dialogue, Shared, encoded
from proofrig.gateways.redis_keys import Keys
from proofrig.gateways.redis_protocol import Reader, Unreadable, words
from proofrig.history.journal import Journal


class Rig(Protocol):
    """What a proxy needs of the rig's `Context`."""

    journal: Journal
    bindings: Bindings


class Session:
    """An agent's connection and the one to the server behind it. `greeting`: commands of our own,
    sent first."""

    def __init__(self, dialogue: Dialogue, greeting: Sequence[bytes]) -> None:
        self._dialogue = dialogue
        self._greeting = greeting
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._requests, self._replies = Reader(), Reader()
        self._held: deque[bytes] = deque()  # from the client, not whole yet
        self._at = 0  # of the first of them, up to where it was passed on
        self._early = b""  # from the client, before there was a server
        self._passed = 0  # bytes from the client that were passed on or taken off
        self._kept = b""  # from the server, withheld while it is not all the client's
        self._returned = 0  # bytes from the server that were handed on or dropped
        self.ended = False
        self.on_end: Callable[[Session], None] = lambda session: None

    def opened(self, transport: asyncio.Transport, *, server: bool) -> None:
        """One side is connected; the client waits for the server's."""
        if self.ended:
            transport.abort()
        elif server:
            self._server = transport
            for command in self._greeting:
                transport.write(command)
                self._dialogue.expect(SWALLOWED, special=True)
            early, self._early = self._early, b""
            self.hold(server=False, go_on=True)
            self.from_client(early)
        else:
            self._client = transport

    def hold(self, *, server: bool, go_on: bool = False) -> None:
        """Stop reading one side while the other cannot take more."""
        side = self._server if server else self._client
        if side is not None and not side.is_closing() and side.is_reading() != go_on:
            (side.resume_reading if go_on else side.pause_reading)()

    def client_said_all(self) -> bool:
        """The client will send no more; True when replies may still reach it."""
        if self._server is None or not self._server.can_write_eof():
            return False
        self._server.write_eof()
        return True

    def end(self, *, abort: bool = False) -> None:
        """One side is gone: so is the other, and nobody sees the end of what was on its way."""
        if self.ended:
            return
        self.ended = True
        self._dialogue.settle_unknown("the connection was lost")
        for side in (self._client, self._server):
            if side is not None:
                (side.abort if abort else side.close)()
        self.on_end(self)

    def from_client(self, data: bytes) -> None:
        """Take note of the commands that are whole now, and pass them on."""
        dialogue = self._dialogue
        if self._server is None:
            self._early += data
            self.hold(server=False)
            return
        if data:
            self._held.append(data)
        out: list[bytes] = []
        try:
            for frame, end in () if dialogue.blind else self._requests.feed(data):
                instead = None if dialogue.blind else dialogue.command(words(frame))
                whole = self._take(end - self._passed)
                self._passed = end
                out += whole if instead is None else [instead]
        except Unreadable as error:
            dialogue.go_blind(str(error))
        if dialogue.blind:
            out += self._take(sum(map(len, self._held)) - self._at)
        self._server.writelines(out)
        if dialogue.special and self._replies.between and not self._kept:
            self._write(dialogue.answers())

    def _take(self, size: int) -> list[bytes]:
        """The next bytes from the client; a large command is not copied."""
        taken: list[bytes] = []
        while size > 0:
            chunk, at = self._held[0], self._at
            part = chunk[at : at + size]
            taken.append(part)
            size -= len(part)
            self._at += len(part)
            if self._at == len(chunk):
                self._held.popleft()
                self._at = 0
        return taken

    def from_server(self, data: bytes) -> None:
        """Hand replies on at once, then read them; one by one while some are not the client's."""
        dialogue = self._dialogue
        careful = dialogue.special > 0 and not dialogue.blind
        self._kept += data
        if not careful:
            self._hand_on(len(self._kept))
        try:
            for value, end in () if dialogue.blind else self._replies.feed(data):
                mine = dialogue.replied(value)
                if careful:
                    self._hand_on(end - self._returned, drop=mine)
                    self._write(dialogue.answers())
        except Unreadable as error:
            dialogue.go_blind(str(error))
        if not dialogue.special or dialogue.blind:
            self._hand_on(len(self._kept))

    def _hand_on(self, size: int, *, drop: bool = False) -> None:
        if not drop:
            self._write([self._kept[:size]])
        self._kept = self._kept[size:]
        self._returned += size

    def _write(self, parts: Sequence[bytes]) -> None:
        if parts and self._client is not None and not self._client.is_closing():
            self._client.writelines(parts)


class Upstream:
    """The server behind a proxy, from its URL: `redis://`, `rediss://` or `unix://`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise UsageError(
                f"expected a Redis URL like redis://localhost:6379/0, got {url!r}; "
                "redis, rediss and unix can be used"
            )
        self.unix = parts.path if parts.scheme == "unix" else ""
        self.host, self.port = parts.hostname or "localhost", parts.port or 6379
        self.ssl = ssl.create_default_context() if parts.scheme == "rediss" else None
        database = "" if self.unix else parts.path.strip("/")
        if database and not database.isdigit():
            raise UsageError(f"expected the number of a database in {url!r}, got {database!r}")
        self.database = int(database or 0)
        self.greeting: list[bytes] = []
        if parts.password:
            user = [unquote(parts.username).encode()] if parts.username else []
            self.greeting.append(encoded([b"AUTH", *user, unquote(parts.password).encode()]))
        if self.database:
            self.greeting.append(encoded([b"SELECT", str(self.database).encode()]))

    def __str__(self) -> str:
        return self.unix or f"{self.host}:{self.port}"

    async def connect(self, session: Session) -> asyncio.Transport:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        if self.unix:
            made: tuple[asyncio.Transport, _Side] = await loop.create_unix_connection(
                lambda: _Side(session, server=True), self.unix
            )
        else:
            made = await loop.create_connection(
                lambda: _Side(session, server=True), self.host, self.port, ssl=self.ssl
            )
        return made[0]


class RedisProxy:
    """One Redis server, on a port of the rig. `service` is its name on the history."""

    def __init__(self, rig: Rig, upstream_url: str, service: str) -> None:
        self._upstream = Upstream(upstream_url)
        self._bindings = rig.bindings
        self._shared = Shared(
            journal=rig.journal,
            service=service,
            keys=Keys(),
            scripts=Scripts(),
            trial_of=self._trial_of,
        )
        self._server: asyncio.Server | None = None
        self._sessions: set[Session] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> int:
        """Listen on 127.0.0.1; returns the port. Raises InfraError when Redis does not answer."""
        loop = asyncio.get_running_loop()
        probe = Session(Dialogue(self._shared, 0), [])
        try:
            (await self._upstream.connect(probe)).abort()
        except OSError as error:
            raise InfraError(
                f"expected a Redis server at {self._upstream} for {self._shared.service}, got: "
                f"{error.strerror or error}. Start it, or correct its URL."
            ) from error
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        """End every connection; what is on its way is settled as unknown."""
        if self._server is not None:
            self._server.close()
        for task in self._connecting:
            task.cancel()
        for session in list(self._sessions):
            session.end(abort=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _trial_of(self, token: str) -> Binding | None:
        return self._bindings.live(token) or self._bindings.ended(token)

    def _accept(self) -> asyncio.Protocol:
        dialogue = Dialogue(self._shared, self._upstream.database)
        session = Session(dialogue, self._upstream.greeting)
        self._sessions.add(session)
        session.on_end = self._sessions.discard
        task = asyncio.get_running_loop().create_task(self._connect(session))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return _Side(session, server=False)

    async def _connect(self, session: Session) -> None:
        try:
            transport = await self._upstream.connect(session)
        except OSError:
            session.end()  # as a server that is gone would look
            return
        if session.ended:
            transport.abort()


class _Side(asyncio.Protocol):
    """One end of a connection, handed to its session."""

    def __init__(self, session: Session, *, server: bool) -> None:
        self._session = session
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's
        self._session.opened(cast(asyncio.Transport, transport), server=self._server)

    def data_received(self, data: bytes) -> None:
        if self._server:
            self._session.from_server(data)
        else:
            self._session.from_client(data)

    def eof_received(self) -> bool:
        return not self._server and self._session.client_said_all()

    def connection_lost(self, error: Exception | None) -> None:
        self._session.end()

    def pause_writing(self) -> None:
        self._session.hold(server=not self._server)

    def resume_writing(self) -> None:
        self._session.hold(server=not self._server, go_on=True)
