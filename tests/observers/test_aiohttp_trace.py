"""Real aiohttp sessions against a small server."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from proofrig.observers import recording_trace_config
from proofrig.observers.recorder import Recorder

from .conftest import Recorded

MS = 1_000_000


def session(recorder: Recorder, **limits: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(**limits),  # type: ignore[arg-type]
        trace_configs=[recording_trace_config(recorder=recorder)],
    )


async def fetch(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as response:
        return await response.text()


async def test_waiting_for_a_connection_is_told_apart(recorded: Recorded, server: str) -> None:
    async with session(recorded.recorder, limit=1) as client:
        await asyncio.gather(*[fetch(client, f"{server}/slow/40") for _ in range(2)])
        assert await fetch(client, f"{server}/to") == "said"
    first, second, *hops = recorded.actions()
    assert second.attr("wait_ns") > max(35 * MS, first.attr("wait_ns"))
    assert first.attr("connect_ns") > 0 and second.attr("connect_ns") is None
    for action in (first, second):
        assert action.start and action.end
        parts = [action.attr(f"{p}_ns", 0) for p in ("wait", "connect", "send", "ttfb", "body")]
        assert parts[3] >= 38 * MS
        assert sum(parts) <= action.end.t - action.start.t
    assert [(a.attr("path"), a.attr("status"), a.outcome) for a in hops] == [
        ("/to", 302, "ok"),
        ("/status/200", 200, "ok"),
    ]
    (note,) = [e for e in recorded.entries() if e.name == "pool"]
    assert note.attrs == {"service": first.attr("service"), "max_connections": 1}


async def test_what_does_not_end_well(recorded: Recorded, server: str) -> None:
    async with session(recorded.recorder, limit=1) as client:
        response = await client.get(f"{server}/stream/100/20")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(f"{server}/status/200"), 0.05)
        await response.content.readany()
        response.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(f"{server}/slow/5000"), 0.05)
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(client, f"{server}/broken")
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get("http://127.0.0.1:1/")
    told = [(a.attr("path"), a.outcome, a.attr("error")) for a in recorded.actions()]
    assert [one[:2] for one in told] == [
        ("/status/200", "fail"),
        ("/stream/100/20", "ok"),
        ("/slow/5000", "unknown"),
        ("/broken", "unknown"),
        ("/", "fail"),
    ]
    assert told[1][2] == "the answer was not read to its end"
    starved, streamed = recorded.actions()[:2]
    assert starved.attr("wait_ns") >= 45 * MS
    assert (streamed.attr("stream"), streamed.attr("status")) == (True, 200)
    assert streamed.attr("body_ns") >= 45 * MS


async def test_without_a_history_requests_pass(server: str) -> None:
    async with session(Recorder({}), limit=1) as client:
        assert await fetch(client, f"{server}/to") == "said"
