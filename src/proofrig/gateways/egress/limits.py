"""How long the egress gateway waits, and how much it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressLimits:
    """Seconds: head_s for the first head of a connection, handshake_s for TLS with an agent,
    connect_s to connect to a host, read_s between two bytes of its answer, half_s for a tunnel that
    is half open and silent, idle_s for a connection between two requests. Bytes: body, of a request
    that is read."""

    head_s: float = 10.0
    handshake_s: float = 10.0
    connect_s: float = 10.0
    read_s: float = 600.0
    half_s: float = 60.0
    idle_s: float = 75.0
    body: int = 64 << 20
