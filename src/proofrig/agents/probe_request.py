"""One HTTP request as an agent: the socket connected and the bytes written down before the gate
opens, so that many of them reach the rig at once.

Loaded by the host in proofrig's own interpreter, but of the standard library alone.

Rules:
1. What happens after the release is one `send`, then waiting for the answer.
2. The trial is named in the path; the answer is the body, of which the head tells the status.
3. A status of 400 and more is an error of the agent, with the body as its message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

SETTINGS = "PROOFRIG_PROBE"  # {"method", "path", "body", "headers"} as JSON


class Refused(Exception):
    """The answer was an error."""


def filled(value: Any, values: dict[str, str]) -> Any:
    """`{name}` in every text of a JSON value replaced by what it stands for."""
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {filled(key, values): filled(part, values) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, values) for part in value]
    return value


def request(settings: dict[str, Any], root: str, token: str, values: dict[str, str]) -> bytes:
    """The whole request as bytes."""
    path = f"/t/{token}{filled(settings['path'], values)}"
    body = filled(settings.get("body"), values)
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"host": root, "content-type": "application/json", "content-length": str(len(data))}
    headers.update(filled(settings.get("headers") or {}, values))
    lines = [f"{settings.get('method', 'POST')} {path} HTTP/1.1"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + data


async def prepare(task: str, tenant: str, trial: str, seed: int) -> tuple[socket.socket, bytes]:
    """Connect, and write the request down."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each probe is a socket
    settings = json.loads(os.environ[SETTINGS])
    token = sys.modules["_proofrig_identity"].IDENTITY.get()[0]
    place = urlsplit(os.environ["PROOFRIG_TOOLS_URL"])
    values = {"task": task, "tenant": tenant, "trial": trial, "seed": str(seed)}
    data = request(settings, place.netloc, token, values)
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(connection, (place.hostname, place.port))
    return connection, data


async def probe(task: str, prepared: tuple[socket.socket, bytes]) -> str:
    """Send the request; the answer's body."""
    connection, data = prepared
    loop = asyncio.get_running_loop()
    with connection:
        with contextlib.suppress(BlockingIOError):
            data = data[connection.send(data) :]
        if data:
            await loop.sock_sendall(connection, data)
        parts = []
        while part := await loop.sock_recv(connection, 1 << 16):
            parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head else 0
    text = _body(head, body).decode("utf-8", "replace")
    if not 200 <= status < 400:
        raise Refused(f"HTTP {status}: {text[:500]}" if status else "the connection was closed")
    return text


def _body(head: bytes, body: bytes) -> bytes:
    """A body without its transfer coding."""
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


probe.prepare = prepare  # type: ignore[attr-defined]
