"""What agents may reach: the suite's allow list, and what no list has to say.

Rules:
1. A cloud's metadata and link-local addresses are refused unless `allow` names them; that holds
   for what a name resolves to as well.
2. The gateway does not connect to itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proofrig.gateways.egress.hosts import (
    Pattern,
    Place,
    address_of,
    fits,
    guarded,
    local,
    loopback,
    secretive,
)

_WHY = {
    "not_allowed": (
        "the suite's `egress.allow` does not name it. Reach something else, or add it there"
    ),
    "metadata": (
        "it is a cloud's metadata service or a link-local address, which agents may not reach. "
        "Where that is meant, name it in the suite's `egress.allow`"
    ),
    "loop": "it is this proxy itself. Name the host that is meant",
    "rig": ("it is the rig's own port, which is no proxy's business. Keep 127.0.0.1 in NO_PROXY"),
    "upgrade": (
        "a websocket does not pass where requests are read. Use wss://, and leave the host out of "
        "the suite's `egress.intercept`"
    ),
    "too_large": (
        "its body is too large to be read whole. Leave the host out of the suite's "
        "`egress.intercept`: what is tunnelled has no such limit"
    ),
    "byte_cap": (
        "the trial has used up its bytes (`egress.max_bytes`). Move less, or raise it in the suite"
    ),
    "limit_egress": "the trial has sent what it may send (`limits.egress_mb`). Send less",
}


class Refused(Exception):
    """A place that must not be connected to. code: `not_allowed`, `metadata` or `loop`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def why(code: str, where: Place) -> str:
    """A refusal as an agent reads it."""
    return f"a request to {where} was refused: {_WHY[code]}."


class Access(msgspec.Struct):
    """What may be reached. port: the gateway's own, once it listens."""

    allowed: tuple[Pattern, ...]
    port: int = 0

    def judge(self, where: Place) -> str:
        """Why a place may not be reached, by what the agent calls it; "" when it may."""
        if where.port == self.port and local(where.host):
            return "loop"
        if not fits(self.allowed, where):
            return "not_allowed"
        return "metadata" if secretive(where.host) and not self._named(where) else ""

    def reachable(self, where: Place, addresses: Iterable[str]) -> list[str]:
        """The addresses of a place that may be connected to. Raises Refused when none may."""
        found, code = [], ""
        for text in addresses:
            address = address_of(text)
            if loopback(address) and where.port == self.port:
                code = "loop"
            elif guarded(address) and not self._named(where):
                code = "metadata"
            else:
                found.append(text)
        if code and not found:
            raise Refused(code)
        return found

    def _named(self, where: Place) -> bool:
        return any(one.exact and one.fits(where) for one in self.allowed)
