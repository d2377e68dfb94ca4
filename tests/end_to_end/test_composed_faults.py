"""Several faults upon one call, at every gateway: each call is settled once, the history says what
struck it and nothing else, and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import egress_rig
from fault_rig import fault_rig, fetch
from gateways.test_mcp_crossing import agent as stdio_agent
from gateways.test_mcp_leg import faulted as mcp_server
from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.duplicate_events import DuplicateEvents
from proofrig.faults.error_object import ErrorObject
from proofrig.faults.fault import Fault
from proofrig.faults.http_error import HttpError
from proofrig.faults.huge_result import HugeResult
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.faults.malformed_utf8 import MalformedUtf8
from proofrig.faults.partial_response import PartialResponse
from proofrig.faults.rate_limit import RateLimit
from proofrig.faults.reordered_events import ReorderedEvents
from proofrig.faults.reset import Reset
from proofrig.faults.split_utf8 import SplitUtf8
from proofrig.faults.stale_result import StaleResult
from proofrig.faults.stall import Stall
from proofrig.faults.token_expiry import TokenExpiry
from proofrig.faults.trickle import Trickle
from proofrig.faults.truncated_body import TruncatedBody
from proofrig.history.action import Entry
from tool_rig import disturb, tool_rig

Ask = Callable[[], Awaitable[Any]]
At = contextlib.AbstractAsyncContextManager[tuple[Ask, Callable[[], list[Entry]], Any]]

STACKS: dict[str, list[Fault]] = {
    "late and reset": [Latency(ms=1), Reset()],
    "late and reset inside": [Latency(ms=1), Reset(after_events=1, after_bytes=3)],
    "two that refuse": [TokenExpiry(calls=1), RateLimit(probability=0.5)],
    "cut, in drops, malformed": [TruncatedBody(), Trickle(bytes=64, ms=0), MalformedUtf8()],
    "huge and cut": [TruncatedBody(bytes=9_000), HugeResult()],
    "a stream upside down": [DuplicateEvents(which="all"), ReorderedEvents(window=2), SplitUtf8()],
    "wrong twice over": [ErrorObject(), PartialResponse(), StaleResult(times=1)],
    "twice and late": [LateResult(by_s=0.01), DuplicateDelivery(), Stall(for_s=0.01)],
    "an error of an error": [HttpError(executed=True), HttpError(status=500, executed=True)],
}


@contextlib.asynccontextmanager
async def model(folder: Path, faults: list[Fault], stream: bool) -> AsyncIterator[Any]:
    async with fault_rig(folder, faults) as rig:
        yield lambda: rig.ask("messages", stream=stream), rig.entries, rig.rig.context


@contextlib.asynccontextmanager
async def tool(folder: Path, faults: list[Fault]) -> AsyncIterator[Any]:
    (folder / "suite").mkdir()
    (folder / "suite" / "sums.py").write_text(
        "__all__ = ['add']\ndef add(a: int) -> dict:\n    return {'sum': 'a lot ' * 9}\n"
    )
    async with tool_rig(folder, [{"type": "python", "target": "sums"}]) as rig:
        disturb(rig.context, faults)
        yield lambda: fetch(f"{rig.base}/tools/add", b'{"a": 1}'), rig.entries, rig.context


@contextlib.asynccontextmanager
async def mcp(folder: Path, faults: list[Fault], stream: bool) -> AsyncIterator[Any]:
    sent = b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"add"}}'
    async with mcp_server(folder, faults, stream) as (rig, _):
        yield lambda: fetch(f"{rig.base}/mcp/up", sent), rig.entries, rig.context


@contextlib.asynccontextmanager
async def stdio(folder: Path, faults: list[Fault]) -> AsyncIterator[Any]:
    async with tool_rig(folder) as rig, stdio_agent(rig, folder) as client:
        disturb(rig.context, faults)
        ids = iter(range(9))

        async def ask() -> None:
            client.call(next(ids))
            await client.line()  # or its end

        yield ask, rig.entries, rig.context


@contextlib.asynccontextmanager
async def host(folder: Path, faults: list[Fault]) -> AsyncIterator[Any]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"text": "a lot " * 9})

    async with (
        egress_rig.host(handle) as url,
        egress_rig.egress_rig(folder, faults=faults, allow=["localhost"]) as rig,
    ):

        async def ask() -> None:
            async with aiohttp.ClientSession() as session:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url, proxy=rig.proxy) as answer:
                        await answer.read()

        yield ask, rig.entries, rig.context


GATEWAYS: dict[str, Callable[[Path, list[Fault]], At]] = {
    "a model": lambda folder, faults: model(folder, faults, False),
    "a model's stream": lambda folder, faults: model(folder, faults, True),
    "a tool": tool,
    "mcp": lambda folder, faults: mcp(folder, faults, False),
    "mcp's stream": lambda folder, faults: mcp(folder, faults, True),
    "mcp over stdio": stdio,
    "a host": host,
}


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("stack", STACKS)
async def test_what_struck_is_what_the_history_says(
    tmp_path: Path, gateway: str, stack: str
) -> None:
    before = asyncio.all_tasks()
    async with GATEWAYS[gateway](tmp_path, STACKS[stack]) as (ask, entries, context):
        for _ in range(2):
            await asyncio.wait_for(ask(), 10)
        begun = [entry.id for entry in entries() if entry.kind == "start"]
        for _ in range(500):
            ended = [entry for entry in entries() if entry.kind in ("commit", "release")]
            if len(ended) >= len(begun):
                break
            await asyncio.sleep(0.01)
        assert sorted(entry.id for entry in ended) == sorted(begun) and begun
        faults = [entry for entry in entries() if entry.kind == "fault"]
        for end in ended:
            struck = [one.attrs["fault"] for one in faults if one.id == end.id]
            assert sorted(end.attrs.get("struck", [])) == sorted(struck)
            assert all(one.t <= end.t for one in faults if one.id == end.id)
            assert "infra" not in end.attrs
        held = context.authority.balances("acme").values()
        assert not any(balance.reserved for balance in held)
        assert not any(kept.asleep for kept in context.faults._trials.values())
    for _ in range(100):
        if not asyncio.all_tasks() - before:
            break
        await asyncio.sleep(0.01)
    assert asyncio.all_tasks() - before == set()
