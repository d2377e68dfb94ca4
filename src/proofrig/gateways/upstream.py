"""Reaching an endpoint: its queue, its connections, and what its failures mean.

Rules:
1. An endpoint with a connection cap has one FIFO queue here; the wait in it is the call's queue
   time. Waiting is bounded in number and in time, and overflow is a failure like any other.
2. A failure is definite when no byte of the request can have been acted on: the connection was
   never made, or the queue refused. Everything later may have been charged for.
3. Redirects are not followed, bodies not decompressed, cookies not kept: bytes pass untouched,
   but for the endpoint's own key: a vendor that says it back would put it before the agent and on
   the history.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections import deque
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from proofrig.errors import ProviderError
from proofrig.providers.provider import Endpoint
from proofrig.wire.codec import Codec
from proofrig.wire.turn import Api

_BIG = 1 << 20  # aiohttp wants larger bodies as files
_SECRET = 12  # characters of a key that is one, and no placeholder
_REFUSED = frozenset({401, 403, 408})  # the key is the suite's: the agent cannot mend it
OVER_LIMIT = frozenset({429, 529})


class UpstreamError(ProviderError):
    """The endpoint could not be reached or broke off. `status` is what the agent is answered.
    throttled: the vendor's limits let the call wait for too long."""

    def __init__(
        self, message: str, *, status: int, definite: bool, throttled: bool = False
    ) -> None:
        super().__init__(message, definite=definite)
        self.status = status
        self.throttled = throttled

    @property
    def facts(self) -> dict[str, object]:
        """What the history keeps of it."""
        said: dict[str, object] = {"infra": True, "error": str(self), "status": self.status}
        return said | {"throttled": True} if self.throttled else said


class UpstreamLimits(msgspec.Struct, frozen=True):
    """connect_s and read_s: seconds to connect, and between two bytes. queue: how many calls may
    wait for a connection of one endpoint; queue_s: how long each may."""

    connect_s: float = 10.0
    read_s: float = 600.0
    queue: int = 10_000
    queue_s: float = 600.0

    @property
    def longest_ns(self) -> int:
        """Nanoseconds that no call should last: its queue, its connecting, and ten silences."""
        return int((self.queue_s + self.connect_s + 10 * self.read_s) * 1_000_000_000)


def at_fault(endpoint: Endpoint, status: int) -> dict[str, bool]:
    """What the history keeps of a status that is the provider's failure, not the agent's: it broke,
    is overloaded, or refuses the account; else nothing. The limits of a simulated provider are
    declared by the suite: an agent that runs into them has run into a limit, and nothing around it
    has failed."""
    if status in OVER_LIMIT:
        return {} if endpoint.simulated else {"infra": True, "throttled": True}
    return {"infra": True} if status >= 500 or status in _REFUSED else {}


def open_client() -> aiohttp.ClientSession:
    """The client session that gateways share. Call it inside the running loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=30.0, family=socket.AF_UNSPEC, ttl_dns_cache=60
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None),
    )


def path_of(codec: Codec) -> str:
    """Where an API lies below an endpoint's base URL, which ends in `/v1` or its like."""
    return codec.paths[0].removeprefix("/v1")


class LiveAnswer:
    """An answer that comes over a socket. failure: what an error of the client library means.
    secret: what is masked in it, one byte for one."""

    __slots__ = ("_failure", "_peeked", "_response", "_secret", "headers", "reason", "status")

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        failure: Callable[[Exception], ProviderError],
        secret: bytes = b"",
    ) -> None:
        self._response = response
        self._failure = failure
        self._peeked = b""
        self._secret = secret
        self.status = response.status
        self.reason = response.reason
        self.headers: Mapping[str, str] = response.headers

    async def readany(self) -> bytes:
        if self._peeked:
            peeked, self._peeked = self._peeked, b""
            return peeked
        try:
            return self._masked(await self._response.content.readany())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error

    async def read(self) -> bytes:
        """The whole body. Raises like `readany`."""
        try:
            return self._masked(await self._response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._failure(error) from error

    async def peek(self) -> bytes:
        """The whole body, which can still be read afterwards. Raises like `readany`."""
        self._peeked = await self.read()
        return self._peeked

    def close(self) -> None:
        self._response.close()

    def _masked(self, data: bytes) -> bytes:
        return data.replace(self._secret, b"*" * len(self._secret)) if self._secret else data


class Upstream:
    """One endpoint as the gateway reaches it."""

    def __init__(
        self, endpoint: Endpoint, client: aiohttp.ClientSession, limits: UpstreamLimits
    ) -> None:
        self.endpoint = endpoint
        self._client = client
        self._limits = limits
        self._base = endpoint.base_url.rstrip("/")
        self._secret = endpoint.key.encode() if len(endpoint.key) >= _SECRET else b""
        self._urls: dict[str, URL] = {}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_s, sock_read=limits.read_s
        )
        self._free = endpoint.connections
        self._waiting: deque[asyncio.Future[None]] = deque()

    def acquire(self) -> bool:
        """Take a connection of the cap at once; False when the call must `wait` for one."""
        if not self.endpoint.connections:
            return True
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Wait in the queue for a connection of the cap. Raises UpstreamError (definite)."""
        if len(self._waiting) >= self._limits.queue:
            raise self._refused(f"its queue is full ({self._limits.queue} calls wait)")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._limits.queue_s):
                await turn
        except TimeoutError:
            self._leave(turn)
            raise self._refused(f"no connection came free in {self._limits.queue_s:g} s") from None
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def release(self) -> None:
        """Give a connection of the cap back, or hand it to the longest waiting."""
        if not self.endpoint.connections:
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def hold(self, connections: int) -> Callable[[], None] | None:
        """Take up to so many connections of the cap that are free, as a leak would; what gives them
        back. None without a cap, or when none is free."""
        taken = sum(self.endpoint.connections > 0 and self.acquire() for _ in range(connections))

        def give_back() -> None:
            for _ in range(taken):
                self.release()

        return give_back if taken else None

    async def send(
        self, method: str, path: str, headers: CIMultiDict[str], body: bytes
    ) -> LiveAnswer:
        """Send a request to `path` (with its query) below the base URL and return when the response
        headers are here. Raises UpstreamError."""
        url = self._urls.get(path)
        if url is None:
            url = URL(self._base + path, encoded=True)
            if len(self._urls) < 64:
                self._urls[path] = url
        try:
            answer = await self._client.request(
                method,
                url,
                data=body if len(body) < _BIG else io.BytesIO(body),
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.failure(error) from error
        return LiveAnswer(answer, self.failure, self._secret)

    def failure(self, error: Exception) -> UpstreamError:
        """What an error of the client library means for the call."""
        where = self.endpoint.base_url
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            late = isinstance(error, aiohttp.ConnectionTimeoutError)
            why = f"no connection in {self._limits.connect_s:g} s" if late else str(error)
            message = f"cannot connect to {where}: {why}. Check that it runs and the base URL."
            return UpstreamError(message, status=504 if late else 502, definite=True)
        if isinstance(error, TimeoutError):
            message = f"{where} sent nothing for {self._limits.read_s:g} s; gave up waiting"
            return UpstreamError(message, status=504, definite=False)
        what = str(error) or type(error).__name__
        message = f"{where} broke the connection before its answer was whole: {what}"
        return UpstreamError(message, status=502, definite=False)

    def _refused(self, why: str) -> UpstreamError:
        return UpstreamError(
            f"cannot reach {self.endpoint.base_url}: {why}. Its cap is "
            f"{self.endpoint.connections} connections; raise it or launch fewer agents.",
            status=504,
            definite=True,
        )

    def _leave(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.release()  # a connection was handed over in the same tick
        elif turn in self._waiting:
            self._waiting.remove(turn)


class Place:
    """One call's connection of the cap: given back while the call waits for the vendor."""

    __slots__ = ("_taken", "_upstream")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._taken = False

    async def take(self) -> bool:
        """Take one, unless it is held; True when it was waited for. Raises UpstreamError
        (definite)."""
        if self._taken:
            return False
        waits = not self._upstream.acquire()
        if waits:
            await self._upstream.wait()
        self._taken = True
        return waits

    def give_back(self) -> None:
        """Give it back, where it is held."""
        if self._taken:
            self._taken = False
            self._upstream.release()


def open_upstreams(
    endpoints: Mapping[Api, Endpoint], client: aiohttp.ClientSession, limits: UpstreamLimits
) -> dict[Api, Upstream]:
    """One upstream per endpoint: APIs that share an endpoint share its connections."""
    found: dict[Api, Upstream] = {}
    for api, endpoint in endpoints.items():
        same = (one for one in found.values() if one.endpoint == endpoint)
        found[api] = next(same, None) or Upstream(endpoint, client, limits)
    return found
