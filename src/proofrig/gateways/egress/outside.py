"""How hosts are reached: directly, or through the user's own proxy.

    tunnel ── dial ──┬── resolve, look at the addresses, connect
    requests ── send ┴── CONNECT at the user's proxy (HTTPS_PROXY, HTTP_PROXY, NO_PROXY)

Rules:
1. What a name resolves to is judged before anything is connected. Behind the user's proxy names are
   resolved there, and judged by what they are called alone.
2. This machine's loopback is never asked for at the user's proxy.
3. Redirects are not followed, bodies not decompressed, cookies not kept: bytes pass untouched.
"""

from __future__ import annotations

import asyncio
import base64
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from proofrig.errors import ProviderError, UsageError
from proofrig.gateways.egress.access import Access, Refused, why
from proofrig.gateways.egress.heads import END
from proofrig.gateways.egress.hosts import Place, local, place
from proofrig.gateways.upstream import LiveAnswer

_BIG = 1 << 20  # aiohttp wants larger bodies as files
_MAX_HEAD = 1 << 16

Dialled = tuple[asyncio.Transport, bytes]  # a connection, and what already came over it


class Unreachable(ProviderError):
    """A host could not be reached, or broke off. status: what the agent is answered. code: why the
    gateway refused what the name resolves to; infra: the user's own proxy failed."""

    def __init__(
        self, message: str, status: int = 502, *, code: str = "", infra: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.infra = infra

    @property
    def facts(self) -> dict[str, Any]:
        """For the end of what it stopped."""
        told = {"blocked": self.code} if self.code else {"infra": True} if self.infra else {}
        return {"status": self.status, "error": str(self)} | told


class HostAnswer(LiveAnswer):
    """A host's answer. length: of its body as its head says, -1 where it does not."""

    __slots__ = ("length",)

    def __init__(
        self, response: aiohttp.ClientResponse, failure: Callable[[Exception], ProviderError]
    ) -> None:
        super().__init__(response, failure)
        said = response.headers.get("content-length", "")
        self.length = int(said) if said.isdigit() else -1


class Outside:
    """The world, as the gateway reaches it. tls: what hosts are verified with. environ: where the
    user's proxies are looked up. connect_s: seconds to connect, read_s: between two bytes."""

    def __init__(
        self,
        access: Access,
        environ: Mapping[str, str],
        tls: ssl.SSLContext | None = None,
        *,
        connect_s: float = 10.0,
        read_s: float = 600.0,
    ) -> None:
        self._access = access
        self._proxies = _proxies(environ)
        self._tls = tls
        self._connect_s = connect_s
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=read_s)
        self._client: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Call it inside the running loop."""
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=15.0,
                family=socket.AF_UNSPEC,
                resolver=_Resolver(self._resolve),
                ssl=True if self._tls is None else self._tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=self._timeout,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    # ---- requests

    async def send(
        self, method: str, url: URL, headers: CIMultiDict[str], body: bytes
    ) -> HostAnswer:
        """Send a request and return when the answer's head is here. Raises Unreachable."""
        assert self._client is not None
        where = Place(url.host or "", url.port or 0)
        given = self._proxy(url.scheme, where)
        via: dict[str, Any] = {}
        if given:
            proxy = URL(given)
            via = {"proxy": proxy.with_user(None), "proxy_headers": _credentials(proxy)}
            if url.scheme == "http":  # no tunnel: the request itself tells the proxy
                headers = CIMultiDict(headers)
                headers.update(_credentials(proxy))
        try:
            answer = await self._client.request(
                method,
                url,
                data=(body if len(body) < _BIG else io.BytesIO(body)) or None,
                headers=headers,
                allow_redirects=False,
                **via,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._failure(where, error) from error
        return HostAnswer(answer, lambda error: self._failure(where, error))

    # ---- tunnels

    async def dial(self, where: Place, protocol: Callable[[], asyncio.Protocol]) -> Dialled:
        """A connection to a place. Raises Unreachable."""
        given = self._proxy("https", where)
        try:
            async with asyncio.timeout(self._connect_s):
                if given:
                    return await self._through(given, where, protocol)
                return await self._direct(where, protocol), b""
        except TimeoutError as error:
            late = f"{where}: no connection within {self._connect_s:g} s"
            raise Unreachable(late, 504, infra=bool(given)) from error
        except (OSError, UsageError) as error:
            raise self._failure(where, error) from error

    async def _direct(
        self, where: Place, protocol: Callable[[], asyncio.Protocol]
    ) -> asyncio.Transport:
        loop, failed = asyncio.get_running_loop(), OSError("it resolves to no address")
        for address in await self._resolve(where.host, where.port):
            try:
                transport, _ = await loop.create_connection(protocol, address, where.port)
            except OSError as error:
                failed = error
            else:
                return transport
        raise failed

    async def _through(
        self, given: str, where: Place, protocol: Callable[[], asyncio.Protocol]
    ) -> Dialled:
        """A tunnel that the user's proxy makes."""
        proxy = URL(given)
        if proxy.scheme not in ("http", "https") or not proxy.host:
            raise UsageError(f"expected http://host:port in HTTPS_PROXY, got {proxy.scheme}://")
        via = place(proxy.host, proxy.port or 0)
        tls = ssl.create_default_context() if proxy.scheme == "https" else None
        fields = {"host": str(where), **_credentials(proxy)}
        said = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        transport, asking = await asyncio.get_running_loop().create_connection(
            _Asking, via.host, via.port, ssl=tls
        )
        transport.write(f"CONNECT {where} HTTP/1.1\r\n{said}\r\n".encode("latin-1"))
        try:
            status, rest = await asking.answer
        except BaseException:
            transport.abort()
            raise
        if not 200 <= status < 300:
            transport.abort()
            said = f"the proxy of HTTPS_PROXY answered {status} to CONNECT {where}"
            raise Unreachable(said, infra=status in (407, 502, 503, 504))
        transport.set_protocol(protocol())
        return transport, rest

    # ---- both

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to. Raises OSError, Refused."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(one[4][0]) for one in found)
        return self._access.reachable(Place(host, port), addresses)

    def _proxy(self, scheme: str, where: Place) -> str:
        """The user's proxy for a place, "" where there is none."""
        given = self._proxies.get(scheme, "")
        if not given or local(where.host) or proxy_bypass_environment(str(where), self._proxies):
            return ""
        return given

    def _failure(self, where: Place, error: Exception) -> Unreachable:
        """What an error means for the agent."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, Unreachable):
                return cause
            if isinstance(cause, Refused):
                return Unreachable(why(cause.code, where), 403, code=cause.code)
            cause = getattr(cause, "os_error", None) or cause.__cause__
        proxied = bool(self._proxy("https", where) or self._proxy("http", where))
        infra = isinstance(
            error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
        ) or (proxied and isinstance(error, OSError))
        late = isinstance(error, TimeoutError)
        said = f"{where} cannot be reached: {_told(error)}"
        return Unreachable(said, 504 if late else 502, infra=infra)


class _Resolver(AbstractResolver):
    """Resolves names for the client as `resolve` does."""

    def __init__(self, resolve: Callable[[str, int], Any]) -> None:
        self._look_up = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            addresses = await self._look_up(host, port)
        except Refused as refused:
            raise OSError(str(refused)) from refused
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """It holds nothing."""


class _Asking(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT: its status, and what came after the head."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, blank, rest = self._held.partition(END)
        if blank or len(self._held) > _MAX_HEAD:
            words = head[:20].split(b" ")
            status = int(words[1]) if len(words) > 1 and words[1][:3].isdigit() else 0
            self._resolve((status, rest))

    def eof_received(self) -> None:
        self._resolve((0, b""))

    def connection_lost(self, exc: Exception | None) -> None:
        self._resolve((0, b""))

    def _resolve(self, answer: tuple[int, bytes]) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def _told(error: Exception) -> str:
    """What an error says, without the URL that some name: its query may hold a secret."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"its answer is no HTTP: {error.message.partition(chr(10))[0].rstrip(':')}"
    if isinstance(error, aiohttp.InvalidURL):
        return "its URL is none"
    return str(error) or type(error).__name__


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's proxies by scheme, and the hosts without one (`no`)."""
    names = {"http": "http_proxy", "https": "https_proxy", "no": "no_proxy"}
    found = {of: environ.get(name) or environ.get(name.upper()) for of, name in names.items()}
    everything = environ.get("all_proxy") or environ.get("ALL_PROXY")
    for scheme in ("http", "https"):
        found[scheme] = found[scheme] or everything
    written = {
        of: one if of == "no" or "://" in one else f"http://{one}"
        for of, one in found.items()
        if one
    }
    return written


def _credentials(proxy: URL) -> dict[str, str]:
    """The header that a proxy's URL stands for."""
    if proxy.user is None:
        return {}
    said = f"{proxy.user}:{proxy.password or ''}".encode()
    return {"proxy-authorization": f"Basic {base64.b64encode(said).decode()}"}
