"""One call to the authority's HTTP service, made again until it is answered.

Rules:
1. Every call may be made again: a lost connection, a 502 to 504 and a 429 that is no decision are
   tried again, the same bytes under the same id, with growing pauses and at most `tries` times.
2. Retry-After is kept to, up to `MAX_PAUSE_S`.
3. What is refused raises the error that an engine in this process would raise.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from proofrig.authority.http import messages as m
from proofrig.authority.http.operations import PREFIX
from proofrig.errors import IdempotencyError, InfraError, LedgerError, ProofrigError, UsageError

MAX_PAUSE_S = 30.0

_AGAIN = frozenset({429, 502, 503, 504})
_DECISIONS = frozenset({200, 201, 202, 403, 429})


class KeyRefused(UsageError):
    """The service does not take the key, or not for this."""


class Expired(LedgerError):
    """The hold ran out. reservation: what became of it."""

    def __init__(self, message: str, reservation: m.Reservation | None) -> None:
        super().__init__(message)
        self.reservation = reservation


class Unknown(LedgerError):
    """The service knows no such reservation, or no longer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is made, and how long it is waited for and between. Seconds."""

    tries: int = 6
    first_pause: float = 0.05
    timeout: float = 30.0

    def pause(self, tried: int) -> float:
        """How long to wait after `tried` tries without a word from the service."""
        return min(self.first_pause * 2.0 ** (tried - 1), MAX_PAUSE_S)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    def read(self, kind: Any) -> Any:
        """The body as a `kind`. Raises InfraError."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InfraError(
                f"expected {kind.__name__} from the authority, got {self.body[:200]!r}: {error}; "
                "is the URL the service's, with /v1?"
            ) from error


class HttpLink:
    """A connection to the service at `url`. `key` may be changed at any time."""

    def __init__(self, url: str, key: str, patience: Patience) -> None:
        self.key = key
        self._url = url.rstrip("/")
        if not URL(self._url).path.strip("/"):
            self._url += PREFIX
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, *path: str, body: Any = None, decides: bool = False, **query: Any
    ) -> Answer:
        """Make a call. decides: 403 and 429 may be decisions, which are answers. Raises
        LedgerError, UsageError, InfraError."""
        where = "/".join([self._url, *(quote(part, safe="") for part in path)])
        url = URL(where + (f"?{urlencode(query)}" if query else ""), encoded=True)
        data = None if body is None else _encoded(body)
        tried, sent, said = 0, False, ""
        while True:
            tried += 1
            pause = self._patience.pause(tried)
            try:
                answer, wait = await self._once(method, url, data)
            except aiohttp.ClientConnectorError as error:
                said = str(error)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                said, sent = str(error) or type(error).__name__, True
            else:
                if answer.status not in _AGAIN or (decides and _decision(answer)):
                    if answer.status < 400 or (decides and _decision(answer)):
                        return answer
                    raise _refusal(answer)
                said, sent = f"{answer.status}: {_message(answer)}", True
                sent = sent and not _definite(answer)
                pause = pause if wait is None else wait
            if tried >= self._patience.tries:
                raise InfraError(
                    f"{self._url}: expected an answer from the authority to {method} "
                    f"/{'/'.join(path)}, got none in {tried} tries: {said}; the same call may be "
                    "made again",
                    definite=not sent,
                )
            await asyncio.sleep(pause)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, method: str, url: URL, data: bytes | None) -> tuple[Answer, float | None]:
        """Make the call; the answer, and for how long it says to wait."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_read=self._patience.timeout)
            self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if data is not None:
            headers["Content-Type"] = "application/json"
        async with self._session.request(
            method, url, data=data, headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            return Answer(response.status, body), _wait(response.headers.get("Retry-After", ""))


def _encoded(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"arguments: expected what JSON can hold, got: {error}") from error


def _wait(header: str) -> float | None:
    return min(float(header), MAX_PAUSE_S) if header.isdecimal() else None


def _decision(answer: Answer) -> bool:
    """True when a refusal is the authority's decision, and no error."""
    return answer.status in _DECISIONS and b'"decision"' in answer.body[:20]


def _fault(answer: Answer) -> m.Fault | None:
    try:
        return msgspec.json.decode(answer.body, type=m.Error).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _message(answer: Answer) -> str:
    fault = _fault(answer)
    return fault.message if fault else answer.body[:200].decode(errors="replace")


def _definite(answer: Answer) -> bool:
    fault = _fault(answer)
    return bool(fault and fault.definite)


def _refusal(answer: Answer) -> ProofrigError:
    """The error that an answer stands for."""
    fault, said = _fault(answer), _message(answer)
    if fault is None:
        return InfraError(f"expected the authority's answer, got {answer.status}: {said}")
    if answer.status in (401, 403):
        return KeyRefused(said)
    if answer.status == 410:
        return Expired(said, fault.reservation)
    if answer.status == 404:
        return Unknown(said)
    if answer.status == 409:
        mismatch = fault.type == "idempotency_mismatch"
        return IdempotencyError(said) if mismatch else LedgerError(said)
    return InfraError(said) if answer.status >= 500 else UsageError(said)
