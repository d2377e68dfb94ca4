"""The gateway before the clients that agents use, with the variables that agents get."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from aiohttp import web

from egress_rig import TOKEN, EgressRig, TestCA, egress_rig, host
from llm_rig import BINDING as LLM_BINDING
from llm_rig import answer, rig, stream, turn
from proofrig.errors import InfraError
from proofrig.gateways.egress.environment import proxy_environment
from proofrig.gateways.egress.gateway import EgressGateway
from proofrig.gateways.egress.settings import EgressSettings
from proofrig.wire import CODECS

CLIENTS = {
    "urllib": "import urllib.request as u, sys; print(u.urlopen(sys.argv[1]).read().decode())",
    "requests": "import requests, sys; print(requests.get(sys.argv[1]).text)",
    "httpx": "import httpx, sys; print(httpx.get(sys.argv[1]).text)",
    "httpx2": "import httpx2, sys; print(httpx2.get(sys.argv[1]).text)",
    "aiohttp": """
import aiohttp, asyncio, sys
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(sys.argv[1]) as answer:
            print(await answer.text())
asyncio.run(main())
""",
}


def environment(rig_: EgressRig, bundle: str, **more: str) -> Mapping[str, str]:
    """What an agent's process gets. NO_PROXY is empty: the tests' hosts are on this machine."""
    given = proxy_environment(rig_.port, TOKEN, bundle)
    env = {"PATH": os.environ["PATH"], "SSL_CERT_DIR": "/nowhere", "NO_PROXY": ""} | more
    for name, value in given.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


async def run(env: Mapping[str, str], *argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, env=dict(env), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return out.decode().strip()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.path_qs}")


def argv_of(client: str, url: str) -> list[str]:
    if client == "curl":
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        return ["curl", "-sS", url]
    if client == "curl-asked":
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        return ["curl", "-sS", "--proxy-anyauth", url]
    return [sys.executable, "-c", CLIENTS[client], url]


@pytest.mark.asyncio(loop_factories=["uvloop"])
@pytest.mark.parametrize("client", [*CLIENTS, "curl", "curl-asked"])
async def test_a_client_finds_the_gateway_and_trusts_it(tmp_path: Path, client: str) -> None:
    ca = TestCA(tmp_path)
    async with host(hello) as plain, host(hello, ca.server()) as secure:
        read = {"intercept": ["localhost"], "tls": ca.client()}
        async with (
            egress_rig(tmp_path / "tunnels") as tunnels,
            egress_rig(tmp_path / "reads", **read) as reads,
        ):
            # a tunnel's host is trusted by the agent, an intercepted one's by the gateway alone
            theirs = environment(tunnels, str(ca.file))
            ours = environment(reads, reads.gateway.bundle)
            got = await asyncio.gather(
                run(theirs, *argv_of(client, f"{plain}/plain?x=1")),
                run(theirs, *argv_of(client, f"{secure}/tunnel")),
                run(ours, *argv_of(client, f"{secure}/read")),
            )
            assert got == ["hello /plain?x=1", "hello /tunnel", "hello /read"]
            opaque = [(one.name, one.attr("path")) for one in await tunnels.ended(2)]
            assert sorted(opaque, key=str) == [("egress.connect", None), ("egress.get", "/plain")]
            assert [(one.name, one.attr("path")) for one in await reads.ended(1)] == [
                ("egress.get", "/read")
            ]
            assert tunnels.notes("unattributed") == reads.notes("unattributed") == []


async def says_hello(request: web.Request) -> web.StreamResponse:
    codec = CODECS["responses" if request.path.endswith("responses") else "chat_completions"]
    if b'"stream":true' in (await request.read()).replace(b": ", b":"):
        return await stream(request, [event for event, _ in codec.encode_stream(turn())])
    return answer(codec.encode_response(turn(codec.api)))


def served_by(llm: Any) -> int:
    return int(llm.url.rpartition(":")[2])


async def test_the_openai_sdk_at_its_default_url_reaches_the_rigs_models(tmp_path: Path) -> None:
    async with rig(tmp_path / "llm", says_hello) as llm:
        settings = {"intercept": ["api.openai.com"], "allow": [], "rig_port": served_by(llm)}
        async with egress_rig(tmp_path / "run", bindings=(LLM_BINDING,), **settings) as egress:
            trust = ssl.create_default_context(cafile=egress.gateway.bundle)
            http = httpx2.AsyncClient(proxy=egress.proxy_of(LLM_BINDING.token), verify=trust)
            # the rig behind knows the same trial by its own bindings
            async with openai.AsyncOpenAI(api_key="sk-agents-own", http_client=http) as client:
                assert str(client.base_url) == "https://api.openai.com/v1/"
                messages: Any = [{"role": "user", "content": "hi"}]
                whole = await client.chat.completions.create(model="sim", messages=messages)
                pieces = [
                    chunk.choices[0].delta.content or ""
                    async for chunk in await client.chat.completions.create(
                        model="sim", messages=messages, stream=True
                    )
                    if chunk.choices
                ]
                with pytest.raises(openai.NotFoundError, match="proofrig"):
                    await client.files.list()
                traced = await http.post("https://api.openai.com/v1/traces/ingest", json={})
            assert egress.actions() == []
            assert [note["path"] for note in egress.notes("telemetry")] == ["/v1/traces/ingest"]
        calls = llm.actions()
    assert whole.choices[0].message.content == "hello" == "".join(pieces)
    assert traced.status_code == 204
    assert [(call.name, call.trial) for call in calls] == [("llm.chat_completions", "case:1")] * 2
    assert {call.attr("channel") for call in calls} == {"path"}


async def test_a_model_that_breaks_off_breaks_the_agents_connection(tmp_path: Path) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(next(CODECS["chat_completions"].encode_stream(turn()))[0])
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with rig(tmp_path / "llm", breaks) as llm:
        settings = {"intercept": ["api.openai.com"], "rig_port": served_by(llm)}
        async with egress_rig(tmp_path / "run", bindings=(LLM_BINDING,), **settings) as egress:
            trust = ssl.create_default_context(cafile=egress.gateway.bundle)
            proxy = egress.proxy_of(LLM_BINDING.token)
            async with httpx.AsyncClient(proxy=proxy, verify=trust) as client:
                body = {"model": "sim", "messages": [], "stream": True, "max_tokens": 5}
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                    await client.post("https://api.openai.com/v1/chat/completions", json=body)


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as first:
        second = EgressGateway(first.context, EgressSettings(), run_dir=tmp_path, rig_port=1)
        with pytest.raises(InfraError, match=f"egress: 127.0.0.1:{first.port} cannot be used"):
            await second.start(port=first.port)
        await second.close()


async def test_where_nothing_is_intercepted_nothing_is_made(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as bare:
        assert bare.gateway.bundle == ""
        assert not (tmp_path / "ca-bundle.pem").exists()


async def test_closing_ends_every_connection(tmp_path: Path) -> None:
    async with host(hello) as url, egress_rig(tmp_path) as rig_:
        silent, writer = await asyncio.open_connection("127.0.0.1", rig_.port)
        async with httpx.AsyncClient(proxy=rig_.proxy) as client:
            assert (await client.get(url)).status_code == 200  # and is kept open
            await rig_.gateway.close()
            with pytest.raises(httpx.TransportError):
                await client.get(url)
        assert await silent.read() == b""
        writer.close()
        assert rig_.context.bindings.on_end.count(rig_.gateway._desk.end) == 0
