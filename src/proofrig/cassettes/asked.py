"""A request as cassettes know it: what was asked of whom.

Rules:
1. The trial's token is taken out at once: it is another one in every run.
2. `raw` covers every byte that is left: two requests with one `raw` are the same request.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from proofrig.cassettes.encoding import decoded
from proofrig.wire.outbound import Form, Outbound

Channel = Literal["llm", "tool", "mcp", "egress"]
CHANNELS: tuple[Channel, ...] = ("llm", "tool", "mcp", "egress")
TOKEN_TAG = "[redacted:trial-token]"

_HTTPS = 443
_CHANNEL: dict[str, Channel] = {"llm": "llm", "tool": "tool", "egress": "egress"}


class Asked(msgspec.Struct, frozen=True):
    """A request. child: the child scope it came from, below the trial's run. host: with
    its port, where that is not HTTPS's. path: with its query. body: without the trial's token."""

    channel: Channel
    form: Form
    name: str
    child: str = ""
    tool: str = ""
    server: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    body: bytes = b""

    def raw(self) -> str:
        """The digest of the very bytes: BLAKE2b-128 in hex."""
        who = (self.channel, self.form, self.name, self.tool, self.server)
        told = "\0".join((*who, self.method, self.host, self.path))
        digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=16)
        digest.update(b"\0")
        digest.update(self.body)
        return digest.hexdigest()


def channel_of(call: Outbound) -> Channel | None:
    """The channel that a call is recorded on; None for one that never is (shared services)."""
    return "mcp" if call.form == "mcp" else _CHANNEL.get(call.surface)


def asked_of(call: Outbound, channel: Channel) -> Asked:
    """A call on its way out as a request."""
    body, path = call.body, f"{call.path}?{call.query}" if call.query else call.path
    host = call.host if call.port in (0, _HTTPS) else f"{call.host}:{call.port}"
    if call.surface == "egress" and (encoding := call.headers.get("content-encoding", "")):
        body = decoded(body, encoding) or body  # compressed anew, the same is other bytes
    if call.token:
        token = call.token.encode()
        if token in body:
            body = body.replace(token, TOKEN_TAG.encode())
        path = path.replace(call.token, TOKEN_TAG)
    return Asked(
        channel=channel,
        form=call.form,
        name=call.name,
        child="/".join(call.scope.split("/", 4)[4:]),
        tool=call.tool,
        server=call.server,
        method=call.method,
        host=host,
        path=path,
        body=body,
    )
