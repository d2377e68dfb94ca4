"""What SDKs ask beside turns."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from llm_rig import answer, post, rig
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
async def test_what_is_asked_beside_turns_is_an_action_without_charge(
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
        assert (action.name, action.outcome, action.attr("actual")) == (name, "ok", {})
        assert r.received[0].path == f"/v1{path}" and r.received[0].method == method
        assert r.spent() == {}


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
