"""CONNECT: tunnels let in or refused, faults upon them, TLS that ends at the rig."""

from __future__ import annotations

import asyncio
import ssl
import struct
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from egress_rig import TOKEN, EgressRig, TestCA, connect, egress_rig, host, wire
from proofrig.faults.http_error import HttpError
from proofrig.faults.latency import Latency
from proofrig.faults.reset import Reset
from proofrig.gateways.egress.limits import EgressLimits


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 ready\r\n")
    assert await reader.read() == b"EHLO\r\n"
    writer.close()


async def answered(rig: EgressRig, authority: str, user: str = TOKEN) -> bytes:
    """The whole answer to a CONNECT that is refused."""
    reader, writer, head = await connect(rig, authority, user)
    body = await reader.read()
    writer.close()
    return head + body


async def test_two_hundred_tunnels_at_once(tmp_path: Path) -> None:
    async def one(rig: EgressRig, port: int, number: int) -> bytes:
        reader, writer, _ = await connect(rig, f"localhost:{port}")
        said = f"tunnel {number} ".encode() * 100
        writer.write(said)
        got = await reader.readexactly(len(said))
        writer.close()
        assert await reader.read() == b""
        return got if got != said else b"same"

    async with egress_rig(tmp_path) as rig, wire(echo) as port:
        got = await asyncio.gather(*(one(rig, port, number) for number in range(200)))
        assert got == [b"same"] * 200
        actions = await rig.ended(200)
    assert {action.outcome for action in actions} == {"ok"}
    assert all(action.attr("bytes_up") == action.attr("bytes_down") for action in actions)
    assert not rig.gateway._desk.open


async def test_a_host_that_speaks_first_is_heard(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig, wire(greets) as port:
        reader, writer, _ = await connect(rig, f"localhost:{port}")
        assert await reader.readline() == b"220 ready\r\n"
        writer.write(b"EHLO\r\n")
        writer.close()
        await rig.ended(1)


async def test_what_comes_right_behind_the_connect_passes(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig, wire(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        coded = "dG9rLTAxMjM0NTY3ODlhYmNkZWY6eA=="
        writer.write(
            f"CONNECT localhost:{port} HTTP/1.1\r\nproxy-authorization: Basic {coded}\r\n\r\n"
            "early".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"early"
        writer.close()
        await rig.ended(1)


async def test_what_is_not_allowed_is_a_denial(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, allow=["example.com"]) as rig:
        said = await answered(rig, "elsewhere.example.org:443")
        (action,) = rig.actions()
    assert said.startswith(b"HTTP/1.1 403 proofrig refused this request: not_allowed\r\n")
    assert b"`egress.allow` does not name it" in said
    assert action.denied and action.attr("blocked") == "not_allowed"
    assert action.attr("code") == "not_allowed"
    assert (action.attr("host"), action.attr("port")) == ("elsewhere.example.org", 443)


@pytest.mark.parametrize("where", ["169.254.169.254:80", "metadata.google.internal:80"])
async def test_metadata_is_refused(tmp_path: Path, where: str) -> None:
    async with egress_rig(tmp_path) as rig:
        assert b"x-proofrig-blocked: metadata" in await answered(rig, where)


async def test_the_gateway_does_not_connect_to_itself(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        assert b"x-proofrig-blocked: loop" in await answered(rig, f"127.0.0.1:{rig.port}")
        assert b"x-proofrig-blocked: loop" in await answered(rig, f"localhost:{rig.port}")
        assert b"x-proofrig-blocked: loop" in await answered(rig, f"[::ffff:127.0.0.1]:{rig.port}")
        assert b"x-proofrig-blocked: rig" in await answered(rig, "127.0.0.1:1")


async def test_the_policy_decides(tmp_path: Path) -> None:
    rules = [
        {"name": "no-smtp", "deny": "egress.connect", "when": {"port": {"==": 25}}},
        {"name": "rest", "allow": "egress.*"},
    ]
    async with egress_rig(tmp_path, policy={"rules": rules}) as rig, wire(echo) as port:
        said = await answered(rig, "localhost:25")
        reader, writer, head = await connect(rig, f"localhost:{port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.close()
        await reader.read()
        denied, passed = await rig.ended(2)
    assert b"403 proofrig refused this request: forbidden" in said
    assert b"by rule no-smtp" in said
    assert denied.denied and denied.attr("rule") == "no-smtp"
    assert not passed.denied


async def test_a_budget_of_bytes_that_is_used_up_lets_no_tunnel_in(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, budget={"bytes": 8}) as rig, wire(echo) as port:
        reader, writer, _ = await connect(rig, f"localhost:{port}")
        writer.write(b"1234567")
        await reader.readexactly(7)
        writer.close()
        await rig.ended(1)
        said = await answered(rig, f"localhost:{port}")
        assert b"x-proofrig-blocked: budget_exceeded" in said
        assert rig.context.authority.balances("acme")["bytes"].spent == 14


async def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        assert b"HTTP/1.1 502 " in await answered(rig, "127.0.0.1:2")
        assert b"HTTP/1.1 502 " in await answered(rig, "no-such-host.invalid:443")
        refused, unknown = rig.actions()
    assert (refused.outcome, refused.attr("status")) == ("fail", 502)
    assert refused.attr("infra") is None  # which host to call is the agent's choice
    assert "no-such-host.invalid:443 cannot be reached" in unknown.attr("error")


async def test_an_agent_that_hangs_up_while_the_host_is_connected_to(tmp_path: Path) -> None:
    faults = [Latency(ms=30_000)]
    async with egress_rig(tmp_path, faults=faults) as rig, wire(echo) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        coded = "dG9rLTAxMjM0NTY3ODlhYmNkZWY6eA=="
        writer.write(
            f"CONNECT localhost:{port} HTTP/1.1\r\n"
            f"proxy-authorization: Basic {coded}\r\n\r\n".encode()
        )
        await rig.until("fault", "latency")
        writer.transport.abort()
        (action,) = await rig.ended(1)
    assert (action.outcome, action.attr("struck")) == ("unknown", ["latency"])
    assert "agent closed" in action.attr("error")


async def test_a_trials_end_gives_up_what_is_being_connected(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, faults=[Latency(ms=30_000)]) as rig:
        asking = asyncio.create_task(connect(rig, "localhost:9"))
        await rig.until("fault", "latency")
        rig.context.bindings.end(TOKEN)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asking
        (action,) = rig.actions()
    assert (action.outcome, action.attr("error")) == ("unknown", "the trial ended")


async def test_a_trials_end_closes_its_tunnels_and_no_others(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig, wire(echo) as port:
        reader, writer, _ = await connect(rig, f"localhost:{port}")
        other, theirs, _ = await connect(rig, f"localhost:{port}", "tok-of-the-other-one")
        rig.context.bindings.end(TOKEN)
        assert await reader.read() == b""
        theirs.write(b"still here")
        assert await other.readexactly(10) == b"still here"
        mine = next(action for action in rig.actions() if action.trial == "case:1")
        assert (mine.outcome, mine.attr("ended_by")) == ("ok", "agent")
        assert b"x-proofrig-blocked: late" in await answered(rig, f"localhost:{port}")
        assert rig.notes("late")[0]["answer"] == "refuse"
        writer.close()
        theirs.close()


async def test_the_rigs_end_settles_what_is_open(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig, wire(echo) as port:
        reader, writer, _ = await connect(rig, f"localhost:{port}")
        await rig.gateway.close()
        assert await reader.read() == b""
        (action,) = rig.actions()
        assert (action.outcome, action.attr("ended_by")) == ("unknown", "rig")
        writer.close()


# ---- faults


async def test_a_fault_answers_in_the_hosts_place(tmp_path: Path) -> None:
    faults = [HttpError(status=503)]
    async with egress_rig(tmp_path, faults=faults) as rig, wire(echo) as port:
        said = await answered(rig, f"localhost:{port}")
        (action,) = rig.actions()
        (fault,) = rig.entries("fault")
    assert said.startswith(b"HTTP/1.1 503 ")
    assert (action.outcome, action.attr("struck")) == ("fail", ["http_error"])
    assert (fault.id, fault.attrs["at"]) == (action.id, "egress")


async def test_a_fault_resets_the_agents_connection(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, faults=[Reset()]) as rig, wire(echo) as port:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await connect(rig, f"localhost:{port}")
        (action,) = rig.actions()
    assert (action.outcome, action.attr("struck")) == ("fail", ["reset"])


async def test_a_late_tunnel_is_a_tunnel(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, faults=[Latency(ms=20)]) as rig, wire(echo) as port:
        reader, writer, head = await connect(rig, f"localhost:{port}")
        assert head.startswith(b"HTTP/1.1 200 ")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        (action,) = await rig.ended(1)
    assert (action.outcome, action.attr("struck")) == ("ok", ["latency"])


# ---- who asks


async def test_who_brings_no_credentials_is_asked_for_them(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"CONNECT localhost:9 HTTP/1.1\r\nuser-agent: mine\r\n\r\n")
        said = await reader.read()
        writer.close()
        assert b"HTTP/1.1 407 " in said and b"proxy-authenticate: Basic" in said
        assert rig.notes("unattributed") == []  # it may come back with them
    assert rig.notes("unattributed") == [
        {
            "channel": "none",
            "method": "CONNECT",
            "host": "localhost",
            "agent": "mine",
            "answer": "refuse",
        }
    ]


async def test_wrong_credentials_are_refused(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        said = await answered(rig, "localhost:9", "a-token-of-nobody")
        (note,) = rig.notes("unattributed")
        assert rig.actions() == []
    assert b"HTTP/1.1 403 " in said and b"got path ...body" not in said
    assert (note["channel"], note["hint"]) == ("proxy", "...body")


async def test_strangers_pass_where_the_settings_say_so(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, unattributed="pass") as rig, wire(echo) as port:
        reader, writer, _ = await connect(rig, f"localhost:{port}", "a-token-of-nobody")
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        (action,) = await rig.ended(1)
    assert (action.scope, action.trial) == ("unattributed", "")
    assert rig.notes("unattributed")[0]["answer"] == "pass"


async def test_telemetry_is_no_action_and_goes_nowhere(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, telemetry=["localhost:9"]) as rig:
        said = await answered(rig, "localhost:9")
        await answered(rig, "o7.ingest.sentry.io:443", "a-token-of-nobody")
        assert rig.actions() == [] and rig.notes("unattributed") == []
        mine, nobodys = rig.entries("note", "telemetry")
    assert b"HTTP/1.1 403 proofrig refused this request: telemetry" in said
    assert mine.attrs == {"host": "localhost", "method": "CONNECT", "bytes": 0}
    assert (mine.trial, nobodys.trial) == ("case:1", "")


# ---- TLS that ends here


async def test_who_does_not_trust_the_rig_is_written_down(tmp_path: Path) -> None:
    ca = TestCA(tmp_path)

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with host(hello, ca.server()) as url:
        settings = {"intercept": ["localhost"], "tls": ca.client()}
        async with egress_rig(tmp_path / "run", **settings) as rig:
            async with httpx.AsyncClient(proxy=rig.proxy, verify=ca.client()) as client:
                with pytest.raises(httpx.ConnectError):
                    await client.get(url)
            note = await rig.until("note", "tls_refused")
            assert (note.trial, note.attrs["host"]) == ("case:1", "localhost")
            assert rig.actions() == []


async def test_a_handshake_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    limits = EgressLimits(handshake_s=0.05)
    async with egress_rig(tmp_path, intercept=["localhost"], limits=limits) as rig:
        reader, writer, head = await connect(rig, "localhost:443")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await reader.read() == b""
        writer.close()
        assert len(rig.notes("tls_refused")) == 1


async def test_garbage_instead_of_a_handshake(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, intercept=["localhost"]) as rig:
        reader, writer, _ = await connect(rig, "localhost:443")
        writer.write(struct.pack(">20Q", *range(20)))
        await reader.read()
        writer.close()
        assert len(rig.notes("tls_refused")) == 1


async def test_what_is_not_allowed_is_not_intercepted_either(tmp_path: Path) -> None:
    settings = {"allow": ["*.example.com"], "intercept": ["*"]}
    async with egress_rig(tmp_path, **settings) as rig:
        assert b"x-proofrig-blocked: not_allowed" in await answered(rig, "example.org:443")
        assert rig.actions()[0].name == "egress.connect"


async def test_only_http_1_1_is_spoken_inside(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, intercept=["localhost"]) as rig:
        reader, writer, _ = await connect(rig, "localhost:443")
        context = ssl.create_default_context(cafile=rig.gateway.bundle)
        context.set_alpn_protocols(["h2", "http/1.1"])
        await writer.start_tls(context, server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
        assert await reader.read() == b""
