"""A call carried out over real sockets: what passes, and what happens when a side breaks."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec
import pytest
from aiohttp import web

from fault_rig import fault_rig
from llm_rig import CALL, CHAT, answer, post, request_of, rig, says_hello, stream, turn
from proofrig.faults.fault import Fault, Hit, Onward
from proofrig.faults.reset import Reset
from proofrig.faults.trickle import Trickle
from proofrig.gateways.upstream import UpstreamLimits, path_of
from proofrig.providers.provider import MODEL_FAILED
from proofrig.wire import CODECS
from proofrig.wire.answer import Answer, Cut, Made, rechunked


@pytest.mark.parametrize("size", [1, 7, 60, 10_000])
@pytest.mark.parametrize("api", list(CODECS))
async def test_a_stream_passes_byte_for_byte_and_is_measured(
    tmp_path: Path, api: str, size: int
) -> None:
    codec = CODECS[api]  # type: ignore[index]
    said = turn(api, text="", tool_calls=(CALL,), finish="tool_calls")
    wire = b"".join(event for event, _ in codec.encode_stream(said))

    async def reply(request: web.Request) -> web.StreamResponse:
        return await stream(request, [wire[i : i + size] for i in range(0, len(wire), size)])

    body = msgspec.json.decode(request_of(api)) | {"stream": True}
    if api == "chat_completions":
        body["stream_options"] = {"include_usage": True}
    async with rig(tmp_path, reply) as r:
        status, headers, got = await post(f"{r.trial_url()}{path_of(codec)}", body)
        (action,) = r.actions()
        assert (status, headers["content-type"], got) == (200, "text/event-stream", wire)
        assert action.outcome == "ok" and action.attr("source") == "measured"
        assert action.attr("usage") == {"input": 12, "output": 5}
        assert (action.attr("calls"), action.attr("finish")) == (1, "tool_calls")
        assert action.attr("ttft_ns") > 0
        assert r.turn(action).tool_calls == (CALL,)
        claimed = r.context.asked.claim("case:1", "refund", {"order": 7})
        assert claimed is not None and claimed[0].action == action.id


async def test_usage_is_asked_for_upstream_and_hidden_from_an_agent_that_did_not(
    tmp_path: Path,
) -> None:
    codec = CODECS["chat_completions"]

    async def reply(request: web.Request) -> web.StreamResponse:
        return await stream(request, [event for event, _ in codec.encode_stream(turn())])

    async with rig(tmp_path, reply) as r:
        url = f"{r.trial_url()}/chat/completions"
        _, _, got = await post(url, CHAT | {"stream": True})
        (action,) = r.actions()
        assert msgspec.json.decode(r.bodies[0])["stream_options"] == {"include_usage": True}
        hidden = codec.stream_decoder()
        hidden.feed(got)
        assert hidden.turn() == turn(usage=None)
        assert b'"choices":[]' not in got and got.endswith(b"data: [DONE]\n\n")
        assert action.attr("amended") == ["include_usage"]
        assert action.attr("usage") == {"input": 12, "output": 5}


async def test_headers_the_agent_sends_reach_upstream_but_its_credentials_do_not(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, says_hello) as r:
        await post(
            f"{r.trial_url()}/chat/completions",
            CHAT,
            authorization="Bearer agents-own",
            baggage="user=ann,proofrig.trial=tok-of-trial-one",
            x_proofrig_note="private",
            x_stainless_lang="python",
            proxy_authorization="Basic eA==",
        )
        got = {k.lower(): v for k, v in r.received[0].headers.items()}
    assert got["authorization"] == "Bearer sk-upstream"
    assert got["baggage"] == "user=ann"
    assert got["x-stainless-lang"] == "python"
    assert got["accept-encoding"] == "identity"
    assert not [name for name in got if "proofrig" in name or name.startswith("proxy-")]


async def test_a_simulated_endpoint_is_told_the_trials_seed_and_tenant(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello, simulated=True, key="") as r:
        await post(f"{r.trial_url()}/chat/completions", CHAT, authorization="Bearer agents-own")
        got = r.received[0].headers
    assert (got["x-proofrig-seed"], got["x-proofrig-tenant"]) == ("7", "acme")
    assert "authorization" not in got


async def test_the_gateways_own_retries_are_on_the_history(tmp_path: Path) -> None:
    answers = [529, 200]

    async def reply(request: web.Request) -> web.StreamResponse:
        status = answers.pop(0)
        return web.Response(status=status, body=CODECS["chat_completions"].encode_response(turn()))

    async with rig(tmp_path, reply, retries=1, backoff_s=0.01) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        note = next(e for e in r.entries() if e.kind == "note")
        (action,) = r.actions()
    assert (status, note.name, note.id, note.attrs["why"]) == (
        200,
        "retry",
        action.id,
        "status 529",
    )
    assert action.outcome == "ok" and action.attr("backoff_ns") >= 10_000_000


async def test_a_reset_before_the_answer_is_a_502_and_charged_as_held(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with rig(tmp_path, reply) as r:
        status, _, body = await post(f"{r.trial_url()}/messages", CHAT)
        (action,) = r.actions()
        assert (status, msgspec.json.decode(body)["type"]) == (502, "error")
        assert (action.outcome, action.attr("source")) == ("fail", "estimated")
        assert action.attr("actual") == r.spent()
        assert r.spent() == action.attr("estimate") | {"ms": r.spent()["ms"]}
        assert action.attr("infra") is True and action.attr("complete") is False


async def test_a_provider_that_says_nothing_is_a_504(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with rig(tmp_path, reply, limits=UpstreamLimits(read_s=0.05)) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
    assert (status, action.outcome, action.attr("infra")) == (504, "fail", True)


async def test_a_stream_cut_upstream_is_cut_downstream_and_charged_as_seen(
    tmp_path: Path,
) -> None:
    codec = CODECS["messages"]
    events = [event for event, _ in codec.encode_stream(turn("messages", text="abc def ghi"))]

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events[:4]:
            await response.write(event)
        await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with rig(tmp_path, reply) as r:
        with pytest.raises(aiohttp.ClientError):
            await post(f"{r.trial_url()}/messages", CHAT | {"stream": True})
        (action,) = r.actions()
        assert (action.outcome, action.attr("infra")) == ("fail", True)
        assert (action.attr("complete"), action.attr("source")) == (False, "partial")
        assert action.attr("price") == "sim*: test, 2026-01-01"
        assert action.attr("usage")["input"] == 12
        seen = r.turn(action)
        assert seen.text and "abc def ghi".startswith(seen.text) and not seen.complete
        assert r.reserved()["tokens"] == 0


async def test_a_stream_that_ends_without_its_terminal_event_is_incomplete(
    tmp_path: Path,
) -> None:
    codec = CODECS["messages"]
    events = [event for event, _ in codec.encode_stream(turn("messages"))][:4]

    async def reply(request: web.Request) -> web.StreamResponse:
        return await stream(request, events)

    async with rig(tmp_path, reply) as r:
        status, _, got = await post(f"{r.trial_url()}/messages", CHAT | {"stream": True})
        (action,) = r.actions()
    assert (status, got) == (200, b"".join(events))
    assert (action.outcome, action.attr("complete")) == ("fail", False)
    assert action.attr("source") == "partial"


@pytest.mark.parametrize("after", [0, 4])
async def test_an_agent_that_goes_away_frees_upstream_and_is_charged_as_seen(
    tmp_path: Path, after: int
) -> None:
    codec = CODECS["messages"]
    events = [event for event, _ in codec.encode_stream(turn("messages", text="abc def"))]
    cancelled = asyncio.Event()

    async def reply(request: web.Request) -> web.StreamResponse:
        try:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            for event in events[:after]:
                await response.write(event)
            await asyncio.sleep(30)
            return response
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with rig(tmp_path, reply) as r:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{r.trial_url()}/messages", json=CHAT | {"stream": True}) as response,
        ):
            if after:
                await response.content.readany()
        await asyncio.wait_for(cancelled.wait(), 5)
        (action,) = r.actions()
        assert (action.outcome, action.attr("source")) == ("unknown", "partial")
        assert action.attr("complete") is False and "closed" in action.attr("error")
        assert r.reserved()["tokens"] == 0 and r.spent()["tokens"] > 0
        assert r.gateway.open_calls("case:1") == 0


async def test_each_chunk_passes_when_it_arrives_and_the_call_is_settled_before_its_end(
    tmp_path: Path,
) -> None:
    codec = CODECS["messages"]
    events = [event for event, _ in codec.encode_stream(turn("messages"))]
    got_first, got_end = asyncio.Event(), asyncio.Event()

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(events[0])
        await got_first.wait()
        await response.write(b"".join(events[1:]))
        await got_end.wait()  # the body has not ended, but its terminal event has passed
        return response

    async with (
        rig(tmp_path, reply) as r,
        aiohttp.ClientSession() as session,
        session.post(f"{r.trial_url()}/messages", json=CHAT | {"stream": True}) as response,
    ):
        assert await response.content.readany() == events[0]
        assert r.reserved()["tokens"] > 0
        got_first.set()
        rest = b""
        while b"message_stop" not in rest:
            rest += await response.content.readany()
        (action,) = r.actions()
        assert (action.outcome, r.reserved()["tokens"]) == ("ok", 0)
        got_end.set()
        assert await response.content.read() == b""
        assert rest == b"".join(events[1:]) and len(r.actions()) == 1


async def test_an_agent_that_does_not_read_holds_the_provider_back(tmp_path: Path) -> None:
    chunk, chunks, written = b"data: " + b"x" * 65_000 + b"\n\n", 1000, 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(chunks):
            await response.write(chunk)
            written += 1
        return response

    async with (
        rig(tmp_path, reply) as r,
        aiohttp.ClientSession() as session,
        session.post(f"{r.trial_url()}/messages", json=CHAT | {"stream": True}) as response,
    ):
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.1)
        assert written < chunks
        assert len(await response.content.read()) == chunks * len(chunk)


@pytest.mark.parametrize("size", [(1 << 20) - 200, 3 << 20])
async def test_large_bodies_pass_untouched_both_ways(tmp_path: Path, size: int) -> None:
    said = turn(text="y" * size)

    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(CODECS["chat_completions"].encode_response(said))

    body = msgspec.json.encode(CHAT | {"messages": [{"role": "user", "content": "x" * size}]})
    async with rig(tmp_path, reply) as r:
        status, _, got = await post(f"{r.trial_url()}/chat/completions", body)
        assert (status, got) == (200, CODECS["chat_completions"].encode_response(said))
        assert r.bodies == [body]


async def test_a_history_that_cannot_be_written_lets_nothing_out(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        url = f"{r.trial_url()}/chat/completions"
        journal = r.context.journal
        kept, journal._fd = journal._fd, os.open("/dev/full", os.O_WRONLY)
        try:
            status, headers, body = await post(url, CHAT)
        finally:
            os.close(journal._fd)
            journal._fd = kept
        assert (status, headers["x-should-retry"], r.bodies) == (503, "false", [])
        assert "cannot write the history" in msgspec.json.decode(body)["error"]["message"]
        assert set(r.reserved().values()) == set(r.spent().values()) == {0}
        assert (await post(url, CHAT))[0] == 200
        failed, went_well = r.actions()
    assert failed.end is not None and failed.end.attrs["reason"] == "never_sent"
    assert went_well.outcome == "ok"


@pytest.mark.parametrize("text", ["hello", "[DONE] message_stop response.completed " * 20])
@pytest.mark.parametrize("api", ["chat_completions", "responses", "messages"])
async def test_the_end_is_found_in_any_chunking_and_whatever_the_text_says(
    tmp_path: Path, api: str, text: str
) -> None:
    codec = CODECS[api]  # type: ignore[index]
    whole = b"".join(event for event, _ in codec.encode_stream(turn(api, text=text)))
    settled = asyncio.Event()

    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for place in range(0, len(whole), 7):
            await response.write(whole[place : place + 7])
            await asyncio.sleep(0)
        await settled.wait()  # the agent has its answer and the stream is still open
        await response.write_eof()
        return response

    async with rig(tmp_path, dribble) as r:
        body = msgspec.json.decode(request_of(api)) | {"stream": True}
        if api == "chat_completions":
            body["stream_options"] = {"include_usage": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(r.trial_url() + path_of(codec), json=body) as response,
        ):
            assert await response.content.readexactly(len(whole)) == whole
            kinds = [e.kind for e in r.entries()]
            settled.set()
            await response.read()
        (action,) = r.actions()
    assert kinds == ["reserve", "start", "commit"]
    assert (action.outcome, r.turn(action)) == ("ok", turn(api, text=text))


async def test_an_agent_that_stops_reading_at_the_finish_has_its_turn(tmp_path: Path) -> None:
    asked = turn(tool_calls=(CALL,), finish="tool_calls")
    events = [event for event, _ in CODECS["chat_completions"].encode_stream(asked)]
    last = next(n for n, event in enumerate(events) if b'"finish_reason":"tool_calls"' in event)

    async def halting(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"".join(events[: last + 1]))
        await asyncio.Event().wait()
        return response

    async with rig(tmp_path, halting) as r:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{r.trial_url()}/chat/completions", json=CHAT | {"stream": True}
            ) as response,
        ):
            await response.content.readuntil(b'"finish_reason":"tool_calls"')
        for _ in range(1000):
            if not r.gateway.open_calls("case:1"):
                break
            await asyncio.sleep(0.01)
        (action,) = r.actions()
        joined = r.context.asked.claim("case:1", "refund", {"order": 7})
    assert (action.outcome, action.attr("source"), action.attr("complete")) == (
        "ok",
        "partial",
        True,
    )
    assert joined is not None and joined[0].action == action.id


async def test_what_was_compressed_all_the_same_passes_and_is_read(tmp_path: Path) -> None:
    codec = CODECS["chat_completions"]
    whole = gzip.compress(codec.encode_response(turn()))
    events = gzip.compress(b"".join(event for event, _ in codec.encode_stream(turn())))

    async def compressed(request: web.Request) -> web.StreamResponse:
        if b'"stream"' not in r.bodies[-1]:
            return answer(whole, **{"content-encoding": "gzip"})
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "content-encoding": "gzip"}
        )
        await response.prepare(request)
        await response.write(events)
        await response.write_eof()
        return response

    async with rig(tmp_path, compressed) as r, aiohttp.ClientSession(auto_decompress=False) as s:
        for body, passed in ((CHAT, whole), (CHAT | {"stream": True}, events)):
            async with s.post(f"{r.trial_url()}/chat/completions", json=body) as response:
                assert response.headers["content-encoding"] == "gzip"
                assert await response.read() == passed
        for action in r.actions():
            assert (action.outcome, action.attr("usage")) == ("ok", {"input": 12, "output": 5})
            assert r.turn(action) == turn()


@pytest.mark.parametrize("simulated", [True, False])
async def test_a_simulated_model_that_raised_is_the_suites_mistake(
    tmp_path: Path, simulated: bool
) -> None:
    async def failed(request: web.Request) -> web.StreamResponse:
        body = CODECS["chat_completions"].encode_error(500, "", "KeyError: 'x' (model.py:3)")
        return web.Response(status=500, body=body, headers=dict([MODEL_FAILED]))

    async with rig(tmp_path, failed, simulated=simulated) as r:
        status, headers, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
    assert (status, MODEL_FAILED[0] in headers) == (500, False)
    assert (action.attr("harness"), action.attr("infra")) == (
        (True, None) if simulated else (None, True)
    )
    assert "KeyError: 'x' (model.py:3)" in action.attr("error")


class Tail(Fault):
    """Breaks the connection behind the last byte of an answer."""

    kind: Literal["tail"] = "tail"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        async def cut(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            hit.struck()
            async for chunk in chunks:
                yield chunk
            raise Cut("reset")

        return rechunked(await onward(), cut)


class Instead(Fault):
    """Answers in the provider's place."""

    kind: Literal["instead"] = "instead"
    status: int = 200

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        hit.struck()
        return Made(self.status, b"<html>", {"content-type": "text/html"})


class Idle(Fault):
    """Strikes no call that it is upon."""

    kind: Literal["idle"] = "idle"

    async def strike(self, hit: Hit, onward: Onward) -> Answer:
        return rechunked(await onward(), lambda chunks: chunks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", list(CODECS))
async def test_a_connection_cut_behind_the_end_leaves_a_call_that_was_answered(
    tmp_path: Path, api: str, stream: bool
) -> None:
    async with fault_rig(tmp_path, [Tail()]) as r:
        got = await r.ask(api, stream=stream)
        (end,) = r.ends()
    assert got.turn(api).complete and (got.ended == "whole") is not stream
    assert (end.attrs["outcome"], end.attrs["source"]) == ("ok", "measured")
    assert end.attrs["struck"] == ["tail"]


@pytest.mark.parametrize("status", [200, 429, 503])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_a_fault_answered_costs_no_tokens_and_is_nobodys_failure(
    tmp_path: Path, status: int, stream: bool
) -> None:
    async with fault_rig(tmp_path, [Instead(status=status)]) as r:
        got = await r.ask(stream=stream)
        (end,) = r.ends()
        assert (got.status, got.body, r.calls) == (status, b"<html>", 0)
        assert (end.kind, end.attrs["outcome"]) == ("commit", "fail")
        assert (end.attrs["struck"], r.rig.spent()["tokens"]) == (["instead"], 0)
        assert "infra" not in end.attrs and "throttled" not in end.attrs
        assert not any(r.rig.reserved().values())


@pytest.mark.parametrize("fault", [Idle(), Trickle(bytes=9, ms=1)])
async def test_a_provider_that_breaks_off_a_whole_body_breaks_it_for_the_agent(
    tmp_path: Path, fault: Fault
) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "90"})
        await response.prepare(request)
        await response.write(b"x" * 60)
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with fault_rig(tmp_path, [fault], handler=half, waits=True) as r:
        got = await r.ask()
        (end,) = r.ends()
    assert (got.status, got.body, got.ended) == (200, b"x" * 60, "reset")
    assert (end.attrs["outcome"], end.attrs["source"]) == ("fail", "estimated")
    struck = fault.kind == "trickle"
    assert (end.attrs.get("infra"), end.attrs.get("struck")) == (
        (None, ["trickle"]) if struck else (True, None)
    )


async def test_what_came_until_a_fault_cut_it_is_counted(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [Reset(after_bytes=40)]) as r:
        await r.ask()
        (end,) = r.ends()
        assert end.attrs["actual"]["bytes"] == len(r.rig.bodies[0]) + 40


async def test_a_fault_that_fails_leaves_a_call_that_is_settled(tmp_path: Path) -> None:
    class Wrong(Fault):
        kind: Literal["wrong"] = "wrong"

        async def strike(self, hit: Hit, onward: Onward) -> Answer:
            raise KeyError("mine")

    async with fault_rig(tmp_path, [Wrong()]) as r:
        got = await r.ask()
        (end,) = r.ends()
        assert (got.status, not any(r.rig.reserved().values())) == (500, True)
    assert (end.attrs["reason"], end.attrs["error"]) == ("never_sent", "gateway: KeyError: 'mine'")
