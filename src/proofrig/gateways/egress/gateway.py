"""The egress gateway of a rig: a proxy on a port of its own.

    gateway = EgressGateway(context, settings, run_dir=run_dir, rig_port=port)
    port = await gateway.start()
    environment = proxy_environment(port, token, gateway.bundle)
    ...
    await gateway.close()

Rules:
1. It lives in the rig's loop, and starts when the rig's other gateways listen.
2. A trial's end closes its tunnels and gives up its open requests.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from proofrig.errors import InfraError
from proofrig.gateways.egress.access import Access
from proofrig.gateways.egress.callers import Callers
from proofrig.gateways.egress.certificates import Certificates, write_bundle
from proofrig.gateways.egress.connect import Connect
from proofrig.gateways.egress.desk import Desk
from proofrig.gateways.egress.front import Front
from proofrig.gateways.egress.limits import EgressLimits
from proofrig.gateways.egress.outside import Outside
from proofrig.gateways.egress.requests import Requests
from proofrig.gateways.egress.settings import EgressSettings
from proofrig.gateways.egress.telemetry import Reporters
from proofrig.gateways.gateway import Context


class EgressGateway:
    """A proxy for the agents of a rig.

    run_dir: where the bundle of certificates is written, when something is intercepted. rig_port:
    of the rig's other gateways. tls: what hosts are verified with; by default as the system does.
    environ: where the user's own proxies and certificates are looked up; this process's by default.
    """

    def __init__(
        self,
        context: Context,
        settings: EgressSettings,
        *,
        run_dir: Path,
        rig_port: int,
        tls: ssl.SSLContext | None = None,
        environ: Mapping[str, str] | None = None,
        limits: EgressLimits | None = None,
    ) -> None:
        found = os.environ if environ is None else environ
        limits = limits or EgressLimits()
        access = Access(settings.allowed)
        self.bundle = ""  # the file of certificates that agents need; "" where they need none
        certificates = None
        if settings.intercept:
            certificates = Certificates()
            self.bundle = str(write_bundle(run_dir, certificates.pem, found))
        self._desk = Desk(
            context,
            access,
            Callers(context, passes=settings.unattributed == "pass"),
            Reporters(settings.telemetry, settings.allowed),
            Outside(access, found, tls, connect_s=limits.connect_s, read_s=limits.read_s),
            limits,
            settings.intercepted,
            certificates,
            rig_port,
            settings.max_bytes,
        )
        self._fronts: set[Front] = set()
        self._server: asyncio.Server | None = None
        self._requests: Requests | None = None
        context.bindings.on_end.append(self._desk.end)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; at which port. Raises InfraError when that cannot be."""
        desk = self._desk
        desk.outside.open()
        requests = self._requests = Requests(desk)
        connect = Connect(desk, requests.reading)

        def front() -> Front:
            return Front(self._fronts, connect, requests.reading, desk.limits.head_s)

        try:
            self._server = await asyncio.get_running_loop().create_server(
                front, host, port, backlog=4096
            )
        except OSError as error:
            await desk.outside.close()
            raise InfraError(f"egress: {host}:{port} cannot be used: {error.strerror}") from error
        found: int = self._server.sockets[0].getsockname()[1]
        desk.access.port = found
        return found

    async def close(self) -> None:
        """Stop listening, settle what is open as the rig's end, and close every connection."""
        desk = self._desk
        if self._server is not None:
            self._server.close()
        for passage in list(desk.open):
            passage.give_up("rig", "the rig ended before the request did")
        for front in list(self._fronts):
            front.transport.abort()
        if self._requests is not None:
            await self._requests.shutdown(0.1)
        desk.callers.close()
        await desk.outside.close()
        if desk.end in desk.context.bindings.on_end:
            desk.context.bindings.on_end.remove(desk.end)
