"""The heads of requests and answers at a proxy: what is read of them, and what passes.

Rules:
1. Hop-by-hop headers (RFC 9110 7.6.1), those that `Connection` names and the proxy's credentials
   end here; of the baggage, proofrig's own members. All else passes as it came, in its order.
2. What the proxy itself answers says so in its reason, its `x-proofrig-blocked` header and its
   body: clients show one or the other.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from proofrig.errors import UsageError
from proofrig.gateways.identity import without_trial

BLOCKED = "x-proofrig-blocked"  # the header that names why
END = b"\r\n\r\n"
CHALLENGE = {"proxy-authenticate": 'Basic realm="proofrig: the token of a trial as user"'}

_START = re.compile(r"CONNECT (\S{1,300}) HTTP/1\.([01])")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENDS_HERE = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "expect"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
        *("host", "content-length"),  # set anew
    )
)


class ConnectHead(msgspec.Struct, frozen=True):
    """The head of a CONNECT."""

    authority: str
    headers: CIMultiDict[str]


def connect_head(head: bytes) -> ConnectHead:
    """The head of a CONNECT, without the blank line after it. Raises UsageError."""
    first, *fields = head.decode("latin-1").split("\r\n")
    found = _START.fullmatch(first)
    if found is None:
        raise UsageError(f"expected CONNECT host:port HTTP/1.1, got {first[:80]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or not _FIELD.fullmatch(name):
            raise UsageError(f"expected a header such as `host: example.com`, got {field[:80]!r}")
        headers.add(name, value.strip())
    return ConnectHead(found[1], headers)


def proxy_user(headers: Mapping[str, str]) -> str | None:
    """The user of the proxy's credentials; None where there are none, "" where they are no
    `Basic` ones."""
    given = headers.get("proxy-authorization")
    if given is None:
        return None
    scheme, _, coded = given.partition(" ")
    try:
        said = base64.b64decode(coded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return said.partition(":")[0] if scheme.lower() == "basic" else ""


def passing(came: Mapping[str, str], *, ours: bool = False) -> CIMultiDict[str]:
    """The headers of a request as they leave. ours: for the rig itself, which reads the baggage."""
    named = came.get("connection", "").lower()
    gone = _ENDS_HERE | {part.strip() for part in named.split(",")}
    out: CIMultiDict[str] = CIMultiDict()
    for name, value in came.items():
        low = name.lower()
        if low == "baggage" and not ours:
            value = without_trial(value)
            if not value:
                continue
        if low not in gone and not low.startswith("x-proofrig-"):
            out.add(name, value)
    return out


def size_of(first: str, headers: Mapping[str, str]) -> int:
    """Bytes of a head as HTTP/1.1 writes it; `first`: its first line."""
    fields = sum(len(name) + len(value) + 4 for name, value in headers.items())
    return len(first) + 2 + fields + 2


def told(code: str) -> str:
    """The reason of an answer that refuses."""
    return f"proofrig refused this request: {code}"


def refusal(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """What a plain or intercepted request is refused with."""
    return web.Response(
        status=status,
        reason=told(code),
        text=message + "\n",
        headers={BLOCKED: code, **(headers or {})},
    )


def refusal_bytes(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> bytes:
    """What a CONNECT is refused with; the connection ends after it."""
    body = (message + "\n").encode()
    fields = {
        BLOCKED: code,
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        "connection": "close",
        **(headers or {}),
    }
    return head_bytes(status, told(code), fields) + body


def head_bytes(status: int, reason: str, headers: Mapping[str, str]) -> bytes:
    """The head of an answer."""
    if not reason:
        known = status in HTTPStatus.__members__.values()
        reason = HTTPStatus(status).phrase if known else ""
    lines = [
        f"HTTP/1.1 {status} {reason}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
