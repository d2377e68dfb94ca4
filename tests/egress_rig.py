"""An egress gateway on a loopback port, hosts that a test writes as one function, a test CA.

async with egress_rig(tmp_path) as rig, host(answer) as url:
    httpx.AsyncClient(proxy=rig.proxy) ...
    rig.actions()             what stands on the history, after a flush
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fault_rig import Around
from llm_rig import authority_of
from proofrig.faults.fault import Fault
from proofrig.faults.injector import Injector
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.egress.gateway import EgressGateway
from proofrig.gateways.egress.limits import EgressLimits
from proofrig.gateways.egress.settings import EgressSettings
from proofrig.gateways.gateway import Binding, Bindings, Context, RunClock
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action, Entry
from proofrig.history.history import History
from proofrig.history.journal import Journal
from proofrig.history.payloads import PayloadReader
from proofrig.wire.outbound import Outbound

TOKEN = "tok-0123456789abcdef"
BINDING = Binding(TOKEN, "case:1", "acme", "acme/flow/agent/r1", seed=7)
OTHER = Binding("tok-of-the-other-one", "case:2", "acme", "acme/flow/agent/r2", seed=8)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Wire = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class EgressRig:
    context: Context
    gateway: EgressGateway
    run_dir: Path
    port: int

    @property
    def proxy(self) -> str:
        return self.proxy_of(TOKEN)

    def proxy_of(self, user: str) -> str:
        return f"http://{user}:x@127.0.0.1:{self.port}"

    @property
    def bare(self) -> str:
        """The proxy's URL without credentials."""
        return f"http://127.0.0.1:{self.port}"

    def entries(self, kind: str = "", name: str = "") -> list[Entry]:
        self.context.journal.flush()
        return [
            entry
            for entry in History(self.run_dir).entries()
            if entry.name != "segment"
            and (not kind or entry.kind == kind)
            and (not name or entry.name == name)
        ]

    def notes(self, name: str) -> list[dict[str, Any]]:
        return [entry.attrs for entry in self.entries("note", name)]

    def actions(self) -> list[Action]:
        self.context.journal.flush()
        actions = list(History(self.run_dir).actions())
        return sorted(actions, key=lambda action: int(action.id.rsplit(".", 1)[1]))

    async def ended(self, count: int) -> list[Action]:
        """The actions, once so many have ended; at most ten seconds."""
        for _ in range(1000):
            actions = self.actions()
            if sum(action.end is not None or action.denied for action in actions) >= count:
                return actions
            await asyncio.sleep(0.01)
        raise AssertionError(f"expected {count} actions to end, got {self.actions()}")

    async def until(self, kind: str, name: str) -> Entry:
        """The first such entry, once it is written; at most ten seconds."""
        for _ in range(1000):
            if found := self.entries(kind, name):
                return found[0]
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind} {name} was written")

    def payload(self, digest: str) -> bytes:
        self.context.journal.flush()
        found = PayloadReader(self.run_dir).get(digest)
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def egress_rig(
    run_dir: Path,
    *,
    policy: dict[str, Any] | None = None,
    budget: dict[str, int] | None = None,
    faults: Sequence[Fault] = (),
    rig_port: int = 1,
    tls: ssl.SSLContext | None = None,
    environ: dict[str, str] | None = None,
    limits: EgressLimits | None = None,
    bindings: Sequence[Binding] = (BINDING, OTHER),
    **settings: Any,
) -> AsyncIterator[EgressRig]:
    """A gateway with these settings. rig_port: of what stands for the rig's other gateways."""
    clock = RunClock(time.monotonic_ns())
    os.makedirs(run_dir, exist_ok=True)
    async with open_client() as client:
        context = Context(
            journal=Journal(run_dir, "rig", clock),
            authority=authority_of(clock, policy),
            bindings=Bindings(),
            asked=AskedCalls(),
            client=client,
            clock=clock,
        )
        for binding in bindings:
            context.bindings.add(binding)
        if budget:
            context.authority.set_budget("acme", budget)
        if faults:
            context.faults = Injector(faults, 7, clock, _writer(context), Around())
        gateway = EgressGateway(
            context,
            EgressSettings(**settings),
            run_dir=run_dir,
            rig_port=rig_port,
            tls=tls,
            environ=environ or {},
            limits=limits,
        )
        try:
            yield EgressRig(context, gateway, run_dir, await gateway.start())
        finally:
            await gateway.close()
            context.journal.close()


def _writer(context: Context) -> Callable[[Outbound, str, dict[str, Any]], None]:
    def write(call: Outbound, kind: str, attrs: dict[str, Any]) -> None:
        owner = {"trial": call.trial, "tenant": call.tenant, "scope": call.scope}
        context.journal.write("fault", kind, **owner, id=call.action, attrs=attrs)

    return write


@contextlib.asynccontextmanager
async def host(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A web server whose every request `handler` answers; its URL at `localhost`."""
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1, auto_decompress=False
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        scheme = "https" if tls else "http"
        yield f"{scheme}://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def wire(serve: Wire) -> AsyncIterator[int]:
    """A bare TCP server; its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def connect(
    rig: EgressRig, authority: str, user: str = TOKEN
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """A tunnel through the gateway; reader, writer and the head of the answer."""
    from base64 import b64encode

    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    coded = b64encode(f"{user}:x".encode()).decode()
    writer.write(
        f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n"
        f"proxy-authorization: Basic {coded}\r\n\r\n".encode()
    )
    try:
        return reader, writer, await reader.readuntil(b"\r\n\r\n")
    except BaseException:
        writer.close()
        raise


async def raw(rig: EgressRig, data: bytes) -> bytes:
    """Everything that the gateway answers to these bytes, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


class TestCA:
    """Certificates for servers of a test. file: the authority's, for those who trust it."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.file = folder / "test-ca.pem"
        own = self._sign(self._name, self._key, x509.BasicConstraints(True, None))
        self.file.write_bytes(own.public_bytes(Encoding.PEM))

    def client(self) -> ssl.SSLContext:
        """What trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def server(self, name: str = "localhost") -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        leaf = self._sign(subject, key, names)
        file = self._folder / f"{name}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(leaf.public_bytes(Encoding.PEM) + private)
        os.chmod(file, 0o600)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *more: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )
        for one in more:
            made = made.add_extension(one, critical=False)
        return made.sign(self._key, hashes.SHA256())
