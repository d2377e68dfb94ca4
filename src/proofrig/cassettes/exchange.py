"""One exchange of a cassette: a request, and what came back. And bodies as readable JSON.

Rules:
1. A body comes back byte for byte. JSON on one line stands in the line as it came; JSON that was
   indented stands there without its indentation, where that can be put back; else text; else
   base64. A big body lies in a file of its own.
2. A request is kept to be read and compared: its JSON may lose line breaks, nothing else.
3. Times are microseconds: `ttfb_us` until the head was here, and in `chunks` since the chunk before
   (of the first, since the head).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from proofrig.cassettes.asked import Asked, Channel
from proofrig.wire.outbound import Form

End = Literal["complete", "reset", "close", "error", "client_gone"]
As = Literal["json", "json-2", "json-2-nl", "json-4", "json-4-nl", "text", "base64", "blob"]
BIG = 1 << 16  # bytes of a body that gets a file of its own

_EMPTY = msgspec.Raw(b'""')
_INDENTED: tuple[tuple[As, int, bytes], ...] = (
    ("json-2", 2, b""),
    ("json-2-nl", 2, b"\n"),
    ("json-4", 4, b""),
    ("json-4-nl", 4, b"\n"),
)


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nothing came, or why it broke off. status: what an agent is answered in its place, 0
    where that is not known. definite: the action certainly did not happen."""

    message: str
    status: int = 0
    definite: bool = False


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One exchange. n: its place in the order in which calls began. lineage, turn: whose
    conversation, and how many exchanges of it came before. attempt: 1, or which attempt at the
    same request. raw, req_hash: digests of the request's bytes and of its canonical form.
    length: what the head said of the body's length. chunks: [[dt_us, size], ...]. end: how the
    body ended; `error` with `failure`, and with status 0 when not even a head came."""

    n: int
    channel: Channel
    trial: str
    lineage: str
    turn: int
    attempt: int = 1
    form: Form
    name: str
    child: str = ""
    tool: str = ""
    server: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    raw: str
    req_hash: str
    request_as: As = "json"
    request: msgspec.Raw
    status: int
    reason: str = ""
    headers: dict[str, str] = {}
    length: int = -1
    response_as: As = "json"
    response: msgspec.Raw
    chunks: list[tuple[int, int]] = []
    end: End = "complete"
    failure: Failure | None = None
    ttfb_us: int = 0

    def asked(self, body: bytes) -> Asked:
        """The request; `body` is what `opened` makes of it."""
        return Asked(
            channel=self.channel,
            form=self.form,
            name=self.name,
            child=self.child,
            tool=self.tool,
            server=self.server,
            method=self.method,
            host=self.host,
            path=self.path,
            body=body,
        )


def digest_of(data: bytes) -> str:
    """BLAKE2b-128 in hex: the name of a big body's file."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def written(body: bytes, *, exact: bool = True) -> tuple[As, msgspec.Raw, bytes | None]:
    """A body as it stands in a line; with what its file holds, where it gets one."""
    if not body:
        return "text", _EMPTY, None
    if len(body) > BIG:
        return "blob", _string(digest_of(body)), body
    found = _as_json(body, exact)
    if found is not None:
        return (*found, None)
    try:
        return "text", _string(body.decode()), None
    except UnicodeDecodeError:
        return "base64", _string(base64.b64encode(body).decode()), None


def opened(form: As, value: msgspec.Raw, blobs: Mapping[str, bytes]) -> bytes:
    """The body that `written` put down. Raises ValueError when the line cannot be that of one."""
    if form == "json":
        return bytes(value)
    for name, indent, tail in _INDENTED:
        if form == name:
            return msgspec.json.format(bytes(value), indent=indent) + tail
    text = msgspec.json.decode(value)
    if not isinstance(text, str):
        raise ValueError(f"expected a text, as it says {form}")
    if form == "text":
        return text.encode()
    if form == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"expected base64: {error}") from error
    try:
        return blobs[text]
    except KeyError:
        raise ValueError(f"blobs/{text} is missing") from None


def _as_json(body: bytes, exact: bool) -> tuple[As, msgspec.Raw] | None:
    if body[0] not in b'{["-0123456789tfn':
        return None
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if b"\n" not in body and b"\r" not in body and body == body.strip():
        return "json", msgspec.Raw(body)
    plain = msgspec.json.format(body, indent=-1)
    if not exact:
        return "json", msgspec.Raw(plain)
    for name, indent, tail in _INDENTED:
        if msgspec.json.format(plain, indent=indent) + tail == body:
            return name, msgspec.Raw(plain)
    return None


def _string(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))
