"""Which calls the LLM gateway serves, and whose they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiohttp import web

from llm_rig import BINDING, CHAT, answer, post, request_of, rig, says_hello, turn
from proofrig.gateways.gateway import Binding
from proofrig.gateways.upstream import path_of
from proofrig.wire import CODECS


@pytest.mark.parametrize("prefix", ["", "/v1", "/t/tok-of-trial-one", "/t/tok-of-trial-one/v1"])
@pytest.mark.parametrize("api", list(CODECS))
async def test_every_api_is_served_bare_and_below_the_token(
    tmp_path: Path, prefix: str, api: str
) -> None:
    codec = CODECS[api]  # type: ignore[index]

    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(codec.encode_response(turn(api)))

    body = codec.encode_request(codec.decode_request(request_of(api)))
    async with rig(tmp_path, reply) as r:
        url = f"{r.url}{prefix}{path_of(codec)}?beta=true"
        status, _, _ = await post(url, body, x_api_key=BINDING.token)
        (action,) = r.actions()
        assert (status, action.name, action.outcome) == (200, f"llm.{api}", "ok")
        assert r.received[0].path_qs == f"/v1{path_of(codec)}?beta=true"
        assert r.bodies == [body]


async def test_an_unknown_key_is_refused_in_the_vendors_form_and_written_down(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, says_hello) as r:
        status, headers, body = await post(
            f"{r.url}/v1/messages", {"model": "sim"}, authorization="Bearer sk-ant-secret-abcd"
        )
        (note,) = r.entries()
    error = msgspec.json.decode(body)
    assert (status, headers["x-should-retry"], error["type"]) == (401, "false", "error")
    assert "belongs to no trial" in error["error"]["message"]
    assert (note.kind, note.name, note.trial) == ("note", "unattributed", "")
    assert note.attrs["hint"] == "...abcd" and "secret" not in str(note.attrs)
    assert r.received == []


async def test_unattributed_traffic_passes_when_the_settings_say_so(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello, unattributed="pass") as r:
        status, _, _ = await post(f"{r.url}/v1/chat/completions", CHAT)
        note, reserve, *_ = r.entries()
    assert (status, note.name, note.attrs["answer"]) == (200, "unattributed", "pass")
    assert (reserve.scope, reserve.trial, reserve.attrs["channel"]) == ("unattributed", "", "none")


async def test_a_token_of_an_ended_trial_is_late(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello, unattributed="pass") as r:
        r.context.bindings.end(BINDING.token)
        status, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (note,) = r.entries()
    assert (status, note.name, note.trial) == (401, "late", "case:1")
    assert msgspec.json.decode(body)["error"]["code"] == "trial_ended"


async def test_the_end_of_a_trial_gives_up_its_open_calls(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def reply(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(30)
        return web.Response()

    other = Binding("tok-of-trial-two", "case:2", "acme", "acme/shop/bot/r2")
    async with rig(tmp_path, reply, bindings=(BINDING, other)) as r:
        asked = asyncio.create_task(post(f"{r.trial_url()}/chat/completions", CHAT))
        await arrived.wait()
        assert (r.gateway.open_calls("case:1"), r.gateway.open_calls("case:2")) == (1, 0)
        r.context.bindings.end(other.token)
        assert r.gateway.open_calls("case:1") == 1
        r.context.bindings.end(BINDING.token)
        (action,) = r.actions()
        with pytest.raises(aiohttp.ClientError):
            await asked
    assert (action.outcome, action.attr("error")) == ("unknown", "the trial ended")
    actual, estimate = action.attr("actual"), action.attr("estimate")
    assert actual | {"ms": 0} == estimate | {"ms": 0}  # what was asked for; how long, was measured


async def test_other_paths_get_a_404_that_says_what_is_served(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        status, _, body = await post(f"{r.trial_url()}/embeddings", CHAT)
    message = msgspec.json.decode(body)["error"]["message"]
    assert status == 404 and "/v1/chat/completions" in message and "/embeddings" in message
    assert BINDING.token not in message


async def test_baggage_wins_over_a_shared_key_and_the_trace_is_kept(tmp_path: Path) -> None:
    other = Binding("tok-of-trial-two", "case:2", "acme", "acme/shop/bot/r2")
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with rig(tmp_path, says_hello, bindings=(BINDING, other)) as r:
        status, _, _ = await post(
            f"{r.url}/v1/chat/completions",
            CHAT,
            authorization=f"Bearer {BINDING.token}",
            baggage="proofrig.trial=tok-of-trial-two",
            traceparent=f"00-{trace}-b7ad6b7169203331-01",
        )
        (action,) = r.actions()
        assert "baggage" not in r.received[0].headers
    assert (status, action.trial, action.attr("channel")) == (200, "case:2", "baggage")
    assert action.attr("trace") == trace


async def test_a_body_that_cannot_be_read_is_refused_in_the_apis_form(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        url = f"{r.trial_url()}/messages"
        status, headers, body = await post(url, b"xxxx", content_encoding="deflate")
        large, _, text = await post(url, b" " * ((64 << 20) + 1))
    assert (status, headers["x-should-retry"], len(r.received)) == (400, "false", 0)
    assert msgspec.json.decode(body)["error"]["type"] == "invalid_request_error"
    assert (large, msgspec.json.decode(text)["type"]) == (413, "error")
