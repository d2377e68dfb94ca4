"""Reaching hosts through the user's own proxy, and past it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from egress_rig import TestCA, connect, egress_rig, host, wire


@dataclass
class Users:
    """A user's own proxy. heads: of what it was asked; answer: to each CONNECT."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\nvia: users\r\n\r\n"

    def environ(self, **more: str) -> dict[str, str]:
        url = f"http://me:secret@127.0.0.1:{self.port}"
        return {"https_proxy": url, "HTTP_PROXY": url, **more}


@asynccontextmanager
async def users_proxy() -> AsyncIterator[Users]:
    """Everything it tunnels ends at 127.0.0.1, whatever name was asked for."""
    users = Users()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        users.heads.append(head)
        method, target, *_ = head.split()
        if method == "CONNECT":
            writer.write(users.answer)
            if b" 200 " in users.answer:
                port = int(target.rpartition(":")[2])
                try:
                    far_reader, far = await asyncio.open_connection("127.0.0.1", port)
                except OSError:  # nobody listens there
                    writer.close()
                    return
                await asyncio.gather(pump(reader, far), pump(far_reader, writer))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nusers")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    users.port = server.sockets[0].getsockname()[1]
    try:
        yield users
    finally:
        server.close()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_tunnels_go_through_the_users_proxy(tmp_path: Path) -> None:
    ca = TestCA(tmp_path)
    async with host(hello, ca.server("api.example.com")) as url, users_proxy() as users:
        port = url.rpartition(":")[2]
        async with (
            egress_rig(tmp_path / "run", environ=users.environ()) as rig,
            httpx.AsyncClient(proxy=rig.proxy, verify=ca.client()) as client,
        ):
            got = await client.get(f"https://api.example.com:{port}/")
    assert got.text == "hello"
    (head,) = users.heads
    assert head.startswith(f"CONNECT api.example.com:{port} HTTP/1.1\r\n")
    assert "proxy-authorization: Basic bWU6c2VjcmV0\r\n" in head


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_requests_that_are_read_go_through_it_too(tmp_path: Path, scheme: str) -> None:
    ca = TestCA(tmp_path)
    settings = {"intercept": ["api.example.com"], "tls": ca.client()}
    async with host(hello, ca.server("api.example.com")) as url, users_proxy() as users:
        port = url.rpartition(":")[2]
        async with egress_rig(tmp_path / "run", environ=users.environ(), **settings) as rig:
            import ssl

            trust = ssl.create_default_context(cafile=rig.gateway.bundle)
            async with httpx.AsyncClient(proxy=rig.proxy, verify=trust) as client:
                got = await client.get(f"{scheme}://api.example.com:{port}/")
            (action,) = rig.actions()
    assert got.text == ("users" if scheme == "http" else "hello")
    assert action.name == "egress.get"
    (head,) = users.heads
    assert head.startswith("GET http://" if scheme == "http" else "CONNECT ")
    assert "Basic bWU6c2VjcmV0" in head
    assert "tok-" not in head


@pytest.mark.parametrize("environ", [{}, {"no_proxy": "*"}, {"NO_PROXY": "other.com,localhost"}])
async def test_loopback_and_no_proxy_go_past_it(tmp_path: Path, environ: dict[str, str]) -> None:
    async with host(hello) as url, users_proxy() as users:
        given = users.environ(**environ)
        async with egress_rig(tmp_path, environ=given) as rig:
            _, writer, head = await connect(rig, url.removeprefix("http://"))
            assert head.startswith(b"HTTP/1.1 200 ")
            writer.close()
            async with httpx.AsyncClient(proxy=rig.proxy) as client:
                assert (await client.get(url)).text == "hello"
    assert users.heads == []


async def test_no_proxy_is_asked_by_name_and_port(tmp_path: Path) -> None:
    async with users_proxy() as users:
        environ = users.environ(no_proxy=".invalid:443")
        async with egress_rig(tmp_path, environ=environ) as rig:
            for port in (443, 444):
                _, writer, _ = await connect(rig, f"host.invalid:{port}")
                writer.close()
    assert [head.split()[1] for head in users.heads] == ["host.invalid:444"]


@pytest.mark.parametrize(
    ("answer", "infra"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", None),  # it does not want the agent there
        (b"HTTP/1.1 407 Who?\r\n\r\n", True),
        (b"HTTP/1.1 503 Down\r\n\r\n", True),
        (b"nonsense\r\n\r\n", None),
        (b"", None),
    ],
)
async def test_a_proxy_that_refuses(tmp_path: Path, answer: bytes, infra: bool | None) -> None:
    async with users_proxy() as users:
        users.answer = answer
        async with egress_rig(tmp_path, environ=users.environ()) as rig:
            _, writer, head = await connect(rig, "api.example.com:443")
            writer.close()
            (action,) = await rig.ended(1)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert "the proxy of HTTPS_PROXY answered" in action.attr("error")
    assert action.attr("infra") is infra


async def test_a_proxy_that_is_not_there_is_no_failure_of_the_agent(tmp_path: Path) -> None:
    environ = {"ALL_PROXY": "127.0.0.1:2"}
    async with egress_rig(tmp_path, environ=environ) as rig:
        _, writer, head = await connect(rig, "api.example.com:443")
        writer.close()
        async with httpx.AsyncClient(proxy=rig.proxy) as client:
            got = await client.get("http://api.example.com/")
        actions = await rig.ended(2)
    assert head.startswith(b"HTTP/1.1 502 ") and got.status_code == 502
    assert [action.attr("infra") for action in actions] == [True, True]


async def test_a_kind_of_proxy_that_is_not_spoken(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, environ={"https_proxy": "socks5://127.0.0.1:2"}) as rig:
        _, writer, head = await connect(rig, "api.example.com:443")
        writer.close()
        (action,) = await rig.ended(1)
    assert head.startswith(b"HTTP/1.1 502 ")
    assert "expected http://host:port in HTTPS_PROXY, got socks5://" in action.attr("error")


async def test_what_goes_wrong_does_not_tell_the_query(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"no such thing\r\n\r\n")
        writer.close()

    async with egress_rig(tmp_path) as rig, wire(nonsense) as port:
        async with httpx.AsyncClient(proxy=rig.proxy) as client:
            answer = await client.get(f"http://localhost:{port}/a?key=a-secret")
        [action] = rig.actions()
    assert answer.status_code == 502
    assert f"localhost:{port} cannot be reached: its answer is no HTTP" in answer.text
    assert "a-secret" not in answer.text + str(action.end)
