"""The HTTP tap between real clients and real servers: bytes compared, both protocol eras."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from mcp import Client

from proofrig.anomalies.settings import Settings, Steps
from proofrig.gateways.gateway import Binding
from proofrig.gateways.leg import Send
from proofrig.wire.answer import Answer, Made
from proofrig.wire.outbound import Outbound
from proofrig.wire.turn import Request, ToolCall, Turn
from tool_rig import TOKEN, serving, tool_rig

UPSTREAM = str(Path(__file__).parents[1] / "mcp_upstream.py")
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
MODERN = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}


class Scripted:
    """A server that answers each method with fixed bytes and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        self.gate = asyncio.Event()
        self.gone = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        kept = ("mcp-session-id", "mcp-protocol-version", "accept", "authorization", "x-own")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        self.got.append((request.method, body, headers))
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.method == "GET":
            return await self.stream(
                request, [b": hello\n\n", b'data: {"method":"notifications/x"}\n\n']
            )
        message = json.loads(body)
        if isinstance(message, list):
            return web.Response(
                body=b'[ {"id":8,"result":{}}, {"id":9,"error":{"code":1}} ]',
                content_type="application/json",
            )
        if "id" not in message or "result" in message:
            return web.Response(status=202)
        name = message.get("params", {}).get("name")
        if name == "hang":
            return await self.hang(request)
        if name == "stream":
            return await self.stream(
                request,
                [
                    b"id: 1\ndata:\n\n",
                    b'event: message\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress",',
                    b'"params":{"progress":1.0}}\r\n\r\n',
                    b'data: {"id":44,"method":"elicitation/create","params":{}}\n\n',
                    b'data: {"result": {"content":[],  "x":1.0},\ndata: "id":"s1"}\n\n: tail',
                ],
            )
        if name == "missing":
            return web.Response(
                status=404,
                body=b'{"id":3,"error":{"code":-32601,"message":"none"}}',
                content_type="application/json",
            )
        return web.Response(
            body=b' {"id" : %s, "result":{"capabilities":{}}}\n'
            % json.dumps(message["id"]).encode(),
            headers={"mcp-session-id": "sess-1", "content-type": "application/json; charset=utf-8"},
        )

    async def stream(self, request: web.Request, chunks: list[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)
        return response

    async def hang(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"method":"notifications/started"}\n\n')
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.gone.set()
            raise
        await response.write(b'data: {"id":6,"result":{}}\n\n')
        return response


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Scripted, str]]:
    server = Scripted()
    app = web.Application()
    app.router.add_route("*", "/mcp", server.handle)
    app.router.add_route("*", "/mcp/{below}", server.handle)
    async with serving(app) as port:
        yield server, f"http://127.0.0.1:{port}/mcp"


def request_of(method: str, params: Any = None, **fields: Any) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, **fields}
    return json.dumps(message if params is None else {**message, "params": params}).encode()


SESSION_HEADERS = JSON | {"mcp-session-id": "sess-1", "mcp-protocol-version": "2025-11-25"}
MODERN_HEADERS = JSON | {"mcp-protocol-version": "2026-07-28", "authorization": "Bearer own-key"}
CONVERSATION: list[tuple[str, str, bytes, dict[str, str]]] = [
    ("POST", "", request_of("initialize", {}, id=0), JSON),
    ("POST", "", request_of("notifications/initialized"), SESSION_HEADERS),
    ("GET", "?x=%2F", b"", SESSION_HEADERS),
    ("POST", "", request_of("tools/call", {"name": "stream"}, id="s1"), SESSION_HEADERS),
    ("POST", "", b'{"id":44,"result":{"action":"accept"}}', SESSION_HEADERS),
    (
        "POST",
        "",
        b'[{"id":8,"method":"tools/call","params":{"name":"b"}},'
        b'{"id":9,"method":"tools/call","params":{"name":"c"}}]',
        SESSION_HEADERS,
    ),
    ("POST", "", request_of("server/discover", MODERN, id=2), MODERN_HEADERS),
    ("POST", "", request_of("tools/call", MODERN | {"name": "missing"}, id=3), MODERN_HEADERS),
    ("POST", "/below", request_of("tools/call", MODERN | {"name": "add"}, id="4"), MODERN_HEADERS),
    ("DELETE", "", b"", SESSION_HEADERS),
]


async def converse(client: ClientSession, base: str) -> list[tuple[int, dict[str, str], bytes]]:
    answers = []
    for method, below, body, headers in CONVERSATION:
        async with client.request(
            method, base + below, data=body or None, headers=headers
        ) as answer:
            kept = {k.lower(): v for k, v in answer.headers.items() if k.lower() != "date"}
            answers.append((answer.status, kept, await answer.read()))
    return answers


async def test_bytes_are_those_of_the_server_itself(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url}
        async with tool_rig(tmp_path, [settings]) as rig, ClientSession() as client:
            direct = await converse(client, url)
            sent, server.got = server.got, []
            tapped = await converse(client, f"{rig.base}/mcp/up")
            assert [answer[2] for answer in tapped] == [answer[2] for answer in direct]
            assert [answer[0] for answer in tapped] == [answer[0] for answer in direct]
            assert tapped == direct
            assert server.got == sent
            assert [(a.name, a.outcome) for a in rig.actions()] == [
                ("tool.stream", "ok"),
                ("tool.b", "ok"),
                ("tool.c", "fail"),
                ("tool.missing", "fail"),
                ("tool.add", "ok"),
            ]
            first = rig.actions()[0]
            assert rig.payload(first.attr("result")) == b'{"content":[],  "x":1.0}'


async def test_streams_pass_as_they_come_and_stay_open(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url}
        async with tool_rig(tmp_path, [settings]) as rig:
            body = request_of("tools/call", {"name": "hang"}, id=6)
            async with rig.client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
                first = await answer.content.readuntil(b"\n\n")
                assert first == b'data: {"method":"notifications/started"}\n\n'
                assert rig.entries("start") and not rig.entries("commit")
                server.gate.set()
                assert await answer.read() == b'data: {"id":6,"result":{}}\n\n'
            assert rig.actions()[0].outcome == "ok"


async def test_hanging_up_cancels_the_call_at_the_server(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url}
        async with tool_rig(tmp_path, [settings]) as rig:
            body = request_of("tools/call", {"name": "hang"}, id=6)
            async with rig.client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
                await answer.content.readuntil(b"\n\n")
                answer.close()
            await asyncio.wait_for(server.gone.wait(), 5)
            await rig.until("commit")
            assert rig.actions()[0].outcome == "unknown"


async def test_a_session_may_answer_on_a_later_stream(tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        late = b'data: {"id":1,"result":{"isError":true}}\n\n'
        await response.write(late if request.method == "GET" else b"id: 7\ndata:\n\n")
        return response

    app = web.Application()
    app.router.add_route("*", "/mcp", handle)
    async with serving(app) as port:
        settings = {"type": "mcp", "name": "up", "url": f"http://127.0.0.1:{port}/mcp"}
        async with tool_rig(tmp_path, [settings]) as rig:
            url = f"{rig.base}/mcp/up"
            body = request_of("tools/call", {"name": "a"}, id=1)
            async with rig.client.post(url, data=body, headers=SESSION_HEADERS) as answer:
                await answer.read()
            assert not rig.entries("commit")
            async with rig.client.get(url, headers=SESSION_HEADERS) as answer:
                await answer.read()
            assert rig.actions()[0].outcome == "fail"
            async with rig.client.post(url, data=body, headers=JSON) as answer:
                await answer.read()
            assert rig.actions()[1].outcome == "unknown"  # no session, so no later stream


async def test_denials_are_results_and_a_batch_is_refused_whole(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url}
        async with tool_rig(tmp_path, [settings]) as rig:
            rig.context.authority.set_budget("acme", {"calls:tool": 1})
            batch = (
                b'[{"id":1,"method":"tools/call","params":{"name":"a"}},{"id":2,"method":"ping"},'
                b'{"method":"notifications/x"},{"id":3,"method":"tools/call","params":{"name":"b"}}]'
            )
            post = f"{rig.base}/mcp/up"
            async with rig.client.post(post, data=batch, headers=JSON) as answer:
                replies = {reply["id"]: reply for reply in await answer.json()}
            assert server.got == []
            assert replies[1]["result"]["isError"] and "batch" in str(replies[1])
            assert replies[2]["error"]["code"] == -32000
            assert "what remains there: 0 calls:tool" in str(replies[3]["result"])
            assert rig.context.authority.balances("acme")["calls:tool"].spent == 0
            body = request_of("tools/call", MODERN | {"name": "add"}, id=4)
            for _ in range(2):
                async with rig.client.post(post, data=body, headers=JSON) as answer:
                    last = await answer.json()
            assert len(server.got) == 1
            assert (answer.status, last["id"], last["result"]["resultType"]) == (200, 4, "complete")
            assert [a.denied for a in rig.actions()] == [False, True, False, True]


async def test_identity_stays_here_and_strangers_are_refused(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url, "headers": {"x-own": "of the suite"}}
        async with tool_rig(tmp_path, [settings]) as rig:
            body = request_of("tools/call", {"name": "add"}, id=1)

            async def post(path: str, **headers: str) -> tuple[int, Any]:
                at = f"http://{rig.address}{path}"
                async with rig.client.post(at, data=body, headers=JSON | headers) as answer:
                    return answer.status, await answer.json()

            status, _ = await post("/mcp/up", authorization=f"Bearer {TOKEN}")
            assert (status, rig.actions()[0].attr("channel")) == (200, "key")
            assert server.got[0][2] == {"accept": JSON["accept"], "x-own": "of the suite"}
            status, answer = await post("/t/not-a-trial-at-all/mcp/up")
            assert status == 401 and "expected a call of a running trial" in str(answer)
            status, answer = await post("/mcp/up")
            assert status == 200 and answer["result"]["isError"]
            status, answer = await post(f"/t/{TOKEN}/mcp/other")
            assert status == 404 and "it has: tools, up" in str(answer)
            assert len(server.got) == 1
            body = request_of(
                "tools/call",
                {
                    "name": "add",
                    "_meta": {
                        "baggage": f"proofrig.trial={TOKEN}",
                        "claudecode/toolUseId": "toolu_1",
                    },
                },
                id=1,
            )
            assert (await post("/mcp/up"))[0] == 200
            assert (rig.actions()[1].attr("call_id"), len(server.got)) == ("toolu_1", 2)


async def test_a_server_that_cannot_be_reached_is_said_so(tmp_path: Path) -> None:
    settings = {"type": "mcp", "name": "up", "url": "http://127.0.0.1:1/mcp"}
    async with tool_rig(tmp_path, [settings]) as rig:
        body = request_of("tools/call", {"name": "add"}, id=1)
        async with rig.client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
            said = await answer.json()
            assert (answer.status, said["id"]) == (502, 1)
            assert "the MCP server up cannot be reached" in said["error"]["message"]
        [action] = rig.actions()
        assert (action.outcome, action.attr("infra")) == ("fail", True)


@contextlib.asynccontextmanager
async def upstream(*options: str) -> AsyncIterator[str]:
    """The official server in its own process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, UPSTREAM, "http", str(port), *options
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.02)
        writer.close()
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


async def test_the_official_client_and_server_see_no_difference(tmp_path: Path) -> None:
    async def probe(url: str, mode: str) -> dict[str, Any]:
        progress: list[float] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        async with Client(url, mode=mode, cache=None) as client:
            seen: dict[str, Any] = {"server": client.server_info, "can": client.server_capabilities}
            seen["tools"] = await client.list_tools()
            seen["add"] = await client.call_tool("add", {"a": 1, "b": 2})
            seen["fail"] = await client.call_tool("fail", {})
            seen["wrong"] = await client.call_tool("add", {"a": "x"})
            seen["slow"] = await client.call_tool(
                "slow", {"steps": 3}, progress_callback=on_progress
            )
            seen["progress"] = progress
        return seen

    async with (
        upstream() as url,
        tool_rig(tmp_path, [{"type": "mcp", "name": "up", "url": url}]) as rig,
    ):
        for mode in ("auto", "legacy"):
            tapped = await probe(f"{rig.base}/mcp/up", mode)
            assert tapped == await probe(url, mode)
            assert tapped["progress"] == [0, 1, 2]
        outcomes = [action.outcome for action in rig.actions()]
        assert outcomes == ["ok", "fail", "fail", "ok"] * 2
        offered = {entry.attrs["list"] for entry in rig.entries("note", "tools_offered")}
        assert len(offered) == len(rig.entries("note", "tools_offered")) > 0


@pytest.mark.parametrize("options", [("json",), ()], ids=["json", "sse"])
async def test_rules_reach_the_model_in_both_eras(tmp_path: Path, options: tuple[str, ...]) -> None:
    """What asks waits beside others, a batch is trimmed in its order, a loop is told of."""
    policy = {
        "limits": {"*/*/*/*": {"calls:tool.add": 3}},
        "rules": [
            {"name": "slow-asks", "ask": "tool.slow", "wait_s": 30},
            {"name": "no-nines", "deny": "tool.add", "when": {"a": 9}, "fix": "use eights"},
        ],
    }
    async with (
        upstream(*options) as url,
        tool_rig(tmp_path, [{"type": "mcp", "name": "up", "url": url}], policy=policy) as rig,
    ):
        authority = rig.context.authority
        rig.context.admission.watch = Settings(repeat=Steps(2, 3, 4), idle_ms=60_000)
        for number, mode in enumerate(("auto", "legacy")):
            binding = Binding(f"t{number}", f"c:{number}", "acme", f"acme/f/a/r{number}")
            rig.context.bindings.add(binding)
            calls = tuple(
                ToolCall(f"c{n}", "up_add", json.dumps({"a": n, "b": 0})) for n in range(5)
            )
            turn = Turn("messages", tool_calls=calls)
            rig.context.asked.note(binding.trial, "llm", Request("messages", "m"), turn)
            at = f"http://{rig.address}/t/t{number}/mcp/up"
            async with Client(at, mode=mode, cache=None) as client:
                waiting = asyncio.create_task(client.call_tool("slow", {"steps": 1}))
                await rig.asking()
                forbidden = await client.call_tool("add", {"a": 9, "b": 0})
                assert forbidden.is_error
                assert forbidden.content[0].text == (
                    f"proofrig refused this call: forbidden by rule no-nines at {binding.scope}. "
                    "use eights"
                )
                order = (4, 2, 0, 3, 1)
                got = [await client.call_tool("add", {"a": n, "b": 0}) for n in order]
                errors = dict(zip(order, (bool(one.is_error) for one in got), strict=True))
                assert [errors[n] for n in range(5)] == [False] * 3 + [True] * 2
                authority.approve(authority.pending()[0].id, "lead")
                assert (await waiting).content[0].text == "done"
                failed = [await client.call_tool("fail", {}) for _ in range(4)]
                assert [len(one.content) for one in failed] == [1, 1, 2, 1]
                assert "fail" in failed[2].content[1].text
                assert "repeat_detected" in failed[3].content[0].text
        notes = rig.entries("note", "anomaly")
        assert [note.attrs["step"] for note in notes] == ["warn", "deny"] * 2
        assert not any(b.reserved for b in authority.balances("acme").values())


async def test_hanging_up_while_a_call_waits_withdraws_it(tmp_path: Path) -> None:
    policy = {"rules": [{"name": "b-asks", "ask": "tool.b"}]}
    batch = (
        b'[{"id":1,"method":"tools/call","params":{"name":"a"}},'
        b'{"id":3,"method":"tools/call","params":{"name":"b"}}]'
    )
    async with scripted() as (server, url):
        settings = {"type": "mcp", "name": "up", "url": url}
        async with tool_rig(tmp_path, [settings], policy=policy) as rig:
            with pytest.raises(asyncio.TimeoutError):
                async with ClientSession() as client:
                    asking = client.post(f"{rig.base}/mcp/up", data=batch, headers=JSON)
                    await asyncio.wait_for(asking, 0.2)
            await rig.until("release")
            reasons = [action.end and action.end.attrs["reason"] for action in rig.actions()]
            assert reasons == ["its batch was withdrawn", "agent_gone"]
            assert server.got == []
            balances = rig.context.authority.balances("acme").values()
            assert not any(balance.reserved or balance.spent for balance in balances)


async def test_an_event_that_is_told_a_warning_keeps_all_else(tmp_path: Path) -> None:
    """The id of an event is where a client goes on from when its stream breaks."""
    stream = (
        b'event: message\nid: 41\nretry: 5\ndata: {"id":1,"result":{"content":[]}}\n\n: tail\n\n'
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=stream, content_type="text/event-stream")

    app = web.Application()
    app.router.add_route("*", "/mcp", handle)
    async with serving(app) as port:
        settings = {"type": "mcp", "name": "up", "url": f"http://127.0.0.1:{port}/mcp"}
        async with tool_rig(tmp_path, [settings]) as rig:
            rig.context.admission.watch = Settings(polling=Steps(2, 9, 9))
            body = request_of("tools/call", {"name": "a"}, id=1)
            got = []
            for _ in range(3):
                async with rig.client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
                    got.append(await answer.read())
            says = json.dumps(rig.entries("note", "anomaly")[0].attrs["says"])
            assert got[:2] == [stream] * 2
            told = b'"content":[{"type":"text","text":%b}]' % says.encode()
            assert got[2] == stream.replace(b'"content":[]', told)


class Alone:
    """A tape that answers every message with one result; nothing leaves."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def carry(self, call: Outbound, send: Send) -> Answer:
        self.asked.append(call.body)
        body = b'{"jsonrpc":"2.0","id":0,"result":{"content":[]}}'
        return Made(200, body, {"content-type": "application/json", "mcp-session-id": "sess-1"})

    def keeps(self, call: Outbound) -> bool:
        return call.server == "up"

    def close(self) -> None:
        """Nothing."""


async def test_where_a_recording_answers_nothing_reaches_the_server(tmp_path: Path) -> None:
    async with scripted() as (server, url):
        settings = [{"type": "mcp", "name": name, "url": url} for name in ("up", "live")]
        async with tool_rig(tmp_path, settings) as rig, ClientSession() as client:
            rig.context.tape = Alone()
            body = request_of("tools/call", {"name": "b"}, id=5)
            async with client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
                assert (await answer.json())["id"] == 5
            statuses = []
            for method in ("GET", "DELETE"):
                asked = client.request(method, f"{rig.base}/mcp/up", headers=SESSION_HEADERS)
                async with asked as answer:
                    statuses.append(answer.status)
            assert statuses == [405, 200]
            assert server.got == []
            async with client.get(f"{rig.base}/mcp/live", headers=SESSION_HEADERS) as answer:
                await answer.read()
            assert [method for method, _, _ in server.got] == ["GET"]


async def test_messages_that_are_no_single_request_are_told_apart(tmp_path: Path) -> None:
    bodies = [
        b'[{"id":8,"method":"tools/call","params":{"name":"b"}},{"id":9,"method":"ping"}]',
        b'[{"id":8,"method":"tools/call","params":{"name":"c"}},{"id":9,"method":"ping"}]',
        b'{"id":44,"result":{"action":"accept"}}',
    ]
    async with (
        scripted() as (_, url),
        tool_rig(tmp_path, [{"type": "mcp", "name": "up", "url": url}]) as rig,
        ClientSession() as client,
    ):
        rig.context.tape = tape = Alone()
        for body in bodies:
            async with client.post(f"{rig.base}/mcp/up", data=body, headers=JSON) as answer:
                await answer.read()
        assert tape.asked == bodies
