"""MCP servers behind a URL, with faults and a tape in the way of their calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from mcp import Client

from fault_rig import Got, fetch
from proofrig.anomalies.settings import Settings, Steps
from proofrig.faults.drop_terminal import DropTerminal
from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.error_object import ErrorObject
from proofrig.faults.fault import Fault
from proofrig.faults.html_page import HtmlPage
from proofrig.faults.http_error import HttpError
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.faults.rate_limit import RateLimit
from proofrig.faults.reset import Reset
from proofrig.gateways.leg import Send
from proofrig.gateways.tool_settings import PYTHON_SERVER
from proofrig.wire.answer import EVENT_STREAM, Answer, Made, read
from proofrig.wire.outbound import Outbound
from tool_rig import ToolRig, disturb, serving, tool_rig


class Server:
    """Answers each request with how often it was called: as JSON, or in a stream of events."""

    def __init__(self, streams: bool) -> None:
        self.streams = streams
        self.calls = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        self.calls += 1
        result = {"content": [], "times": self.calls}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        if not self.streams:
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse(headers={"content-type": EVENT_STREAM})
        await response.prepare(request)
        await response.write(b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n')
        await response.write(b"id: 1\ndata: " + body + b"\n\n")
        return response


@asynccontextmanager
async def faulted(
    tmp_path: Path, faults: Sequence[Fault] = (), streams: bool = False
) -> AsyncIterator[tuple[ToolRig, Server]]:
    server = Server(streams)
    app = web.Application()
    app.router.add_post("/mcp", server.handle)
    async with serving(app) as port:
        settings = {"type": "mcp", "name": "up", "url": f"http://127.0.0.1:{port}/mcp"}
        async with tool_rig(tmp_path, [settings]) as rig:
            if faults:
                disturb(rig.context, faults)
            yield rig, server


async def call(rig: ToolRig, id: Any = 5, method: str = "tools/call") -> Got:
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    params = {"name": "add", "arguments": {"b": 1, "a": 2}}
    return await fetch(f"{rig.base}/mcp/up", json.dumps(message | {"params": params}).encode())


def said(got: Got) -> Any:
    """The response in an answer."""
    body = got.body
    if got.headers["content-type"].startswith(EVENT_STREAM):
        body = body.rpartition(b"data: ")[2]
    return json.loads(body)


def ends(rig: ToolRig) -> list[dict[str, Any]]:
    kept = ("outcome", "struck", "executed", "undelivered", "infra")
    return [
        {name: entry.attrs[name] for name in kept if name in entry.attrs}
        for entry in rig.entries("commit")
    ]


@pytest.mark.parametrize("streams", [False, True])
async def test_bytes_are_the_servers_own_when_nothing_strikes(
    tmp_path: Path, streams: bool
) -> None:
    bodies = []
    for number, faults in enumerate(([], [Latency(on={"tool": "other"})], [LateResult()])):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with faulted(folder, faults, streams) as (rig, _):
            bodies.append((await call(rig)).body)
            struck = {"struck": ["late_result"]} if number == 2 else {}
            assert ends(rig) == [{"outcome": "ok"} | struck]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize(
    ("fault", "calls", "end"),
    [
        (HttpError(status=429), 0, {"outcome": "fail", "executed": False}),
        (ErrorObject(), 1, {"outcome": "ok", "undelivered": True}),
    ],
)
async def test_a_fault_that_answers_knows_whose_request_it_is(
    tmp_path: Path, fault: Fault, calls: int, end: dict[str, Any]
) -> None:
    async with faulted(tmp_path, [fault]) as (rig, server):
        got = await call(rig, id="q")
        assert (said(got)["id"], server.calls) == ("q", calls)
        assert ends(rig) == [end | {"struck": [fault.kind]}]


async def test_what_is_no_message_ends_the_call_too(tmp_path: Path) -> None:
    async with faulted(tmp_path, [HtmlPage()]) as (rig, server):
        assert b"<html" in (await call(rig)).body.lower()
        assert (server.calls, ends(rig)[0]["struck"]) == (0, ["html_page"])
        assert ends(rig)[0]["outcome"] == "fail"


@pytest.mark.parametrize(
    ("fault", "streams", "end"),
    [
        (Reset(), False, {"outcome": "fail", "executed": False}),
        (Reset(after_bytes=9), False, {"outcome": "ok", "undelivered": True}),
        (Reset(after_events=1), True, {"outcome": "ok", "undelivered": True}),
        (DropTerminal(), True, {"outcome": "ok", "undelivered": True}),
    ],
)
async def test_an_answer_that_breaks(
    tmp_path: Path, fault: Fault, streams: bool, end: dict[str, Any]
) -> None:
    async with faulted(tmp_path, [fault], streams) as (rig, _):
        await call(rig)
        await rig.until("commit")
        assert ends(rig) == [end | {"struck": [fault.kind]}]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_request_that_is_delivered_twice_acts_twice(tmp_path: Path, streams: bool) -> None:
    async with faulted(tmp_path, [DuplicateDelivery()], streams) as (rig, server):
        got = await call(rig)
        assert (server.calls, said(got)["result"]["times"]) == (2, 1)
        assert ends(rig) == [{"outcome": "ok", "struck": ["duplicate_delivery"]}]


async def test_only_calls_of_tools_are_struck(tmp_path: Path) -> None:
    async with faulted(tmp_path, [HttpError(status=500)]) as (rig, server):
        assert (await call(rig, method="tools/list")).status == 200
        assert (server.calls, rig.entries("fault")) == (1, [])


class Tape:
    """Answers what it has heard before, whatever its id was."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, bytes], tuple[int, dict[str, str], bytes]] = {}
        self.calls: list[Outbound] = []

    async def carry(self, call: Outbound, send: Send) -> Answer:
        self.calls.append(call)
        key = call.name, call.body
        if key not in self.heard:
            answer = await send()
            kind = {"content-type": answer.headers["content-type"]}
            self.heard[key] = answer.status, kind, await read(answer)
            answer.close()
        status, kind, body = self.heard[key]
        return Made(status, body, kind)


@pytest.mark.parametrize("struck", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_tape_answers_in_the_servers_place(
    tmp_path: Path, streams: bool, struck: bool
) -> None:
    async with faulted(tmp_path, [LateResult()] if struck else (), streams) as (rig, server):
        rig.context.tape = tape = Tape()
        first, second = await call(rig, id=1), await call(rig, id=2)
        assert (said(first)["id"], said(second)["id"]) == (1, 2)
        assert said(first)["result"] == said(second)["result"]
        await call(rig, method="initialize")
        assert [(one.name, one.server, one.tool) for one in tape.calls] == [
            ("tool.add", "up", "add"),
            ("tool.add", "up", "add"),
            ("mcp.initialize", "up", ""),
        ]
        assert tape.calls[0].body == b'{"a":2,"b":1}'
        assert server.calls == 2
        assert [end["outcome"] for end in ends(rig)] == ["ok", "ok"]


TOOLS = """
__all__ = ["refund"]
CALLS = []

def refund(order: int) -> dict:
    CALLS.append(order)
    return {"refunded": order, "times": len(CALLS)}
"""


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_suites_own_tools_are_struck_over_mcp_too(tmp_path: Path, mode: str) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "refunds.py").write_text(TOOLS)
    async with tool_rig(tmp_path, [{"type": "python", "target": "refunds"}]) as rig:
        refund = {"tool": "refund", "server": PYTHON_SERVER}
        on = [refund | {"nth": nth} for nth in (1, 2, 3)]
        disturb(
            rig.context,
            [LateResult(on=on[0]), DuplicateDelivery(on=on[1]), ErrorObject(on=on[2])],
        )
        async with Client(f"{rig.base}/mcp/{PYTHON_SERVER}", mode=mode, cache=None) as client:
            got = [await client.call_tool("refund", {"order": 7}) for _ in range(2)]
            assert [one.structured_content["times"] for one in got] == [1, 2]
            third = await client.call_tool("refund", {"order": 7})
            assert "error" in third.structured_content
        assert ends(rig) == [
            {"outcome": "ok", "struck": ["late_result"]},
            {"outcome": "ok", "struck": ["duplicate_delivery"]},
            {"outcome": "ok", "struck": ["error_object"], "undelivered": True},
        ]


async def test_a_fault_that_only_looks_takes_nothing_from_what_the_model_is_told(
    tmp_path: Path,
) -> None:
    looks = RateLimit.model_validate({"probability": 0, "limit": {"concurrency": 9}})
    async with faulted(tmp_path, [looks]) as (rig, _):
        rig.context.admission.watch = Settings(polling=Steps(2, 9, 9))
        results = [said(await call(rig))["result"]["content"] for _ in range(3)]
        assert [len(content) for content in results] == [0, 0, 1]
