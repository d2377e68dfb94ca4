"""What SDKs ask beside turns."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from fault_rig import fault_rig, fetch
from llm_rig import BINDING, answer, post, rig, says_hello
from proofrig.faults.fault import Fault, Target
from proofrig.faults.latency import Latency
from proofrig.faults.reset import Reset
from proofrig.gateways.passing import api_of
from proofrig.wire import CODECS
from proofrig.wire.turn import Api


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/models", "llm.models"),
        ("GET", "/models/sim", "llm.models"),
        ("POST", "/messages/count_tokens", "llm.count_tokens"),
        ("POST", "/responses/input_tokens", "llm.input_tokens"),
    ],
)
async def test_what_is_asked_beside_turns_is_an_action_that_costs_its_time_and_bytes(
    tmp_path: Path, method: str, path: str, name: str
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(b'{"input_tokens":3}')

    async with (
        rig(tmp_path, reply) as r,
        aiohttp.ClientSession() as session,
        session.request(method, f"{r.trial_url()}{path}", json={"model": "sim"}) as response,
    ):
        assert (response.status, await response.read()) == (200, b'{"input_tokens":3}')
        (action,) = r.actions()
        assert (action.name, action.outcome) == (name, "ok")
        sent = len(await r.received[0].read())
        assert action.attr("estimate") == {"ms": 1, "bytes": sent}
        actual = action.attr("actual")
        assert actual["bytes"] == sent + len(b'{"input_tokens":3}')
        assert actual["ms"] == -(-action.attr("service_ns") // 1_000_000) > 0
        assert r.received[0].path == f"/v1{path}" and r.received[0].method == method
        assert r.spent() == actual


@pytest.mark.parametrize("unit", ["ms", "bytes"])
async def test_it_is_refused_where_no_time_or_bytes_are_left(tmp_path: Path, unit: str) -> None:
    async with rig(tmp_path, says_hello, budget={unit: 0}) as r:
        status, _, _ = await post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"})
        (action,) = r.actions()
    assert (status, r.received, action.denied) == (429, [], True)
    assert (action.attr("at"), action.attr("remaining")) == ("acme", {unit: 0})


@pytest.mark.parametrize(
    ("path", "headers", "served", "api"),
    [
        ("/models", {}, CODECS, "chat_completions"),
        ("/models", {}, ["messages"], "messages"),
        ("/models", {"anthropic-version": "1"}, CODECS, "messages"),
        ("/models", {"anthropic-version": "1"}, ["responses"], None),
        ("/messages/count_tokens", {}, CODECS, "messages"),
        ("/responses/input_tokens", {}, CODECS, "responses"),
        ("/responses/input_tokens", {}, ["messages"], None),
    ],
)
def test_the_api_of_what_is_asked_beside_turns(
    path: str, headers: dict[str, str], served: list[Api], api: Api | None
) -> None:
    assert api_of(path, headers, served) == api


async def test_an_endpoint_out_of_reach_is_a_502_here_too(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with rig(tmp_path, reply) as r:
        status, _, _ = await post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"})
        (action,) = r.actions()
    assert (status, action.outcome, action.attr("infra")) == (502, "fail", True)


async def test_it_waits_for_a_connection_of_the_cap_as_a_turn_does(tmp_path: Path) -> None:
    open_now, peak = 0, 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal open_now, peak
        open_now += 1
        peak = max(peak, open_now)
        await asyncio.sleep(0.005)
        open_now -= 1
        return answer(b"{}")

    async with rig(tmp_path, reply, connections=2) as r:
        counting = post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"})
        others = [
            post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"}) for _ in range(7)
        ]
        found = await asyncio.gather(counting, *others)
    assert [status for status, _, _ in found] == [200] * 8
    assert peak == 2


async def test_a_trials_end_settles_it_at_once(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        return answer(b"{}")

    async with rig(tmp_path, hang) as r:
        asking = asyncio.create_task(
            post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"})
        )
        await reached.wait()
        r.context.bindings.end(BINDING.token)
        (action,) = r.actions()
        await asyncio.wait({asking})
        assert isinstance(asking.exception(), aiohttp.ClientError)
        assert [e.kind for e in r.entries()] == ["reserve", "start", "commit"]
    assert (action.outcome, action.attr("error")) == ("unknown", "the trial ended")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Reset(), {"outcome": "fail", "struck": ["reset"]}),
        (Latency(ms=1), {"outcome": "fail", "struck": ["latency"], "status": 503, "infra": None}),
        (Latency(on=Target(name="llm.models")), {"outcome": "fail", "infra": True}),
    ],
)
async def test_what_fails_where_a_fault_struck_was_asked_for(
    tmp_path: Path, fault: Fault, expected: dict[str, object]
) -> None:
    async def down(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with fault_rig(tmp_path, [fault], handler=down) as r:
        await fetch(f"{r.base}/messages/count_tokens", b"{}")
        (end,) = r.ends()
    assert {name: end.attrs.get(name) for name in expected} == expected
