"""The queue before an endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from llm_rig import CHAT, answer, post, rig, turn
from proofrig.gateways.upstream import Upstream, UpstreamLimits, open_client, open_upstreams
from proofrig.providers.provider import Endpoint
from proofrig.wire import CODECS


async def test_calls_above_the_connection_cap_queue_and_their_wait_is_told_apart(
    tmp_path: Path,
) -> None:
    running = most = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return answer(CODECS["chat_completions"].encode_response(turn()))

    async with rig(tmp_path, reply, connections=2) as r:
        url = f"{r.trial_url()}/chat/completions"
        await asyncio.gather(*(post(url, CHAT) for _ in range(6)))
        actions = r.actions()
    assert most == 2
    waited = sorted(action.attr("queue_ns") for action in actions)
    assert waited[:2] == [0, 0] and all(ns > 0 for ns in waited[2:])


async def test_a_queue_that_is_full_refuses_without_asking_upstream(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return answer(CODECS["chat_completions"].encode_response(turn()))

    limits = UpstreamLimits(queue=1)
    async with rig(tmp_path, reply, connections=1, limits=limits) as r:
        url = f"{r.trial_url()}/chat/completions"
        answers = await asyncio.gather(*(post(url, CHAT) for _ in range(4)))
        kinds = sorted(a.end.kind for a in r.actions() if a.end is not None)
    assert sorted(status for status, _, _ in answers) == [200, 200, 504, 504]
    assert kinds == ["commit", "commit", "release", "release"]
    assert len(r.bodies) == 2


async def test_apis_of_one_endpoint_share_its_connections() -> None:
    one, other = Endpoint("http://a/v1", connections=1), Endpoint("http://b/v1")
    async with open_client() as client:
        found = open_upstreams(
            {"chat_completions": one, "responses": one, "messages": other},
            client,
            UpstreamLimits(),
        )
    assert found["chat_completions"] is found["responses"] is not found["messages"]
    assert found["responses"].acquire() and not found["chat_completions"].acquire()
    assert found["messages"].acquire() and found["messages"].acquire()


async def test_a_caller_that_leaves_the_queue_loses_no_connection() -> None:
    endpoint = Endpoint("http://a/v1", connections=1)
    async with open_client() as client:
        upstream = Upstream(endpoint, client, UpstreamLimits())
    assert upstream.acquire()
    first, second, third = (asyncio.create_task(upstream.wait()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()  # while it waits
    upstream.release()
    second.cancel()  # in the tick in which it got the connection
    await asyncio.gather(first, second, return_exceptions=True)
    await third
    assert not upstream.acquire()
    upstream.release()
    assert upstream.acquire()


async def test_connections_that_are_held_are_missing_until_they_are_given_back() -> None:
    async with open_client() as client:
        upstream = Upstream(Endpoint("http://a/v1", connections=3), client, UpstreamLimits())
        free = Upstream(Endpoint("http://a/v1"), client, UpstreamLimits())
    assert free.hold(2) is None  # no cap: nothing that could run out
    assert upstream.acquire()
    give_back = upstream.hold(5)
    assert give_back is not None
    assert not upstream.acquire()
    assert upstream.hold(1) is None
    waiting = asyncio.create_task(upstream.wait())
    await asyncio.sleep(0)
    give_back()
    await waiting
    assert [upstream.acquire() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("error", "status", "definite"),
    [
        (aiohttp.ConnectionTimeoutError(), 504, True),
        (aiohttp.SocketTimeoutError(), 504, False),
        (aiohttp.ServerDisconnectedError(), 502, False),
        (aiohttp.ClientPayloadError("short"), 502, False),
        (ConnectionResetError("reset"), 502, False),
    ],
)
async def test_what_a_failure_means(error: Exception, status: int, definite: bool) -> None:
    async with open_client() as client:
        upstream = Upstream(Endpoint("http://a/v1"), client, UpstreamLimits())
    found = upstream.failure(error)
    assert (found.status, found.definite) == (status, definite)
    assert "http://a/v1" in str(found)
