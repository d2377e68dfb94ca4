"""redis-py names the trial of each command, on connections to the rig's Redis ports.

A pool of connections serves many trials, so the name cannot belong to the connection: before a
command of another trial goes `PROOFRIG.TRIAL <token>`, which the rig's proxy takes off and does
not answer. Standard library only, Python 3.9+.

Rules:
1. Only the ports of this machine in the PROOFRIG_REDIS_<NAME>_URL variables are sent it; any other
   server would answer, and every reply after that would belong to the wrong command.
2. It goes in the same write as the command. A new socket is told anew.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
COMMAND = b"*2\r\n$14\r\nPROOFRIG.TRIAL\r\n$%d\r\n%s\r\n"


def token() -> str:
    """The secret of the trial that is at work; "" when that is nobody's."""
    module = sys.modules.get("_proofrig_identity")
    if module is None:
        return os.environ.get("PROOFRIG_TOKEN", "")
    identity = module.IDENTITY.get()
    return identity[0] if identity else ""


def ports() -> set[int]:
    """The rig's Redis ports on this machine."""
    urls = [
        urlsplit(value)
        for name, value in os.environ.items()
        if name.startswith("PROOFRIG_REDIS_") and name.endswith("_URL")
    ]
    return {url.port for url in urls if url.port}


def patch(module: Any) -> None:
    """Make `redis.connection` or `redis.asyncio.connection` name trials."""
    rig = ports()
    owner = module.AbstractConnection
    inner = owner.send_packed_command
    if hasattr(inner, "_proofrig"):
        return
    awaited = module.__name__.startswith("redis.asyncio")

    def ours(self: Any) -> bool:
        port = getattr(self, "port", "")
        return getattr(self, "host", "") in LOOPBACK and str(port).isdigit() and int(port) in rig

    def plain(self: Any, command: Any, check_health: bool = True) -> Any:
        if not ours(self):
            return inner(self, command, check_health)
        now = token()
        result = inner(self, _named(self, command, self._sock, now), check_health)
        self._proofrig_told = (self._sock, now)
        return result

    async def asynchronous(self: Any, command: Any, check_health: bool = True) -> Any:
        if not ours(self):
            return await inner(self, command, check_health)
        now = token()
        result = await inner(self, _named(self, command, self._writer, now), check_health)
        self._proofrig_told = (self._writer, now)
        return result

    wrapped: Any = asynchronous if awaited else plain
    wrapped._proofrig = True
    owner.send_packed_command = wrapped


def _named(connection: Any, command: Any, socket: Any, now: str) -> Any:
    """The command, after the trial's name where the socket has not been told it."""
    told = connection.__dict__.get("_proofrig_told")
    if told is None:
        if not now:
            return command
    elif socket is not None and told[0] is socket and told[1] == now:
        return command
    if isinstance(command, str):
        command = command.encode()
    rest = [command] if isinstance(command, bytes) else list(command)
    return [COMMAND % (len(now.encode()), now.encode()), *rest]
