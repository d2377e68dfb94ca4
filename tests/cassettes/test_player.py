"""The modes of replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

import llm_rig
from cassette_tapes import (
    asks,
    call,
    carried,
    chat,
    drained,
    never,
    played,
    player,
    recorded,
    result,
    says,
)
from llm_rig import CHAT, turn
from proofrig.cassettes.asked import asked_of
from proofrig.cassettes.canonical import Settings
from proofrig.cassettes.cassette import load
from proofrig.cassettes.exchange import Exchange
from proofrig.cassettes.miss import Miss
from proofrig.cassettes.player import Player, PlayerSettings
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.errors import ProviderError
from proofrig.wire import CODECS
from proofrig.wire.outbound import Outbound

CODEC = CODECS["chat_completions"]
GROWN = ["hi", asks("c1"), result("c1", "1")]


@pytest.mark.parametrize("form", ["chat_completions", "responses", "messages"])
async def test_a_miss_is_an_error_of_the_api_that_is_not_tried_again(
    tmp_path: Path, form: str
) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi"), form=form), says())])
    missed: list[tuple[Outbound, Miss]] = []
    tape = player(cassette, on_miss=lambda *told: missed.append(told))
    one = call(chat("ho"), form=form)
    answer = await tape.carry(one, never)
    assert (answer.status, answer.headers["x-should-retry"]) == (409, "false")
    (body,), _ = await drained(answer)
    assert "replay miss: trial case:1" in CODECS[form].decode_response(body).error  # type: ignore[index]
    assert [told[0] for told in missed] == [one]


async def test_a_miss_of_a_tool_is_an_error_in_its_form(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi")), says())])
    (body,), _ = await played(player(cassette), call({"q": 1}, form="tool", tool="look"))
    assert msgspec.json.decode(body)["error"]["type"] == "replay_miss"
    (body,), _ = await played(player(cassette), call({"jsonrpc": "2.0", "id": 7}, form="mcp"))
    assert (msgspec.json.decode(body)["id"], b"replay miss" in body) == (7, True)
    (body,), _ = await played(player(cassette), call(b"x", form="plain", surface="egress"))
    assert body.startswith(b"proofrig: replay miss")


async def test_what_never_came_comes_never_again(tmp_path: Path) -> None:
    one = call(chat("hi"))
    refused = ProviderError("cannot connect to x", definite=True)
    refused.status = 502  # type: ignore[attr-defined]
    cassette = await recorded(tmp_path, [(one, refused)])
    with pytest.raises(ProviderError, match="cannot connect to x") as raised:
        await player(cassette).carry(one, never)
    assert raised.value.definite
    made: list[Any] = []

    def failure(exchange: Exchange, told: Any) -> Exception:
        assert exchange.channel == "llm"
        made.append(told)
        return TimeoutError(told.message)

    with pytest.raises(TimeoutError):
        await player(cassette, failure=failure).carry(one, never)
    assert (made[0].status, made[0].definite) == (502, True)


async def test_only_what_the_caller_names_is_replayed(tmp_path: Path) -> None:
    tool = call({"q": 1}, form="tool", tool="look")
    cassette = await recorded(tmp_path, [(call(chat("hi")), says(1)), (tool, says(2))])
    tape = player(cassette, replayed=lambda one: one.surface == "llm")
    assert await carried(tape, tool, says("live")) == ([b'"live"'], "complete")
    assert await played(tape, call(chat("hi"))) == ([b"1"], "complete")


async def test_live_goes_out(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi")), says(1))])
    tape = player(cassette, mode="live")
    assert await carried(tape, call(chat("hi")), says("live")) == ([b'"live"'], "complete")


async def test_after_a_miss_the_rest_of_the_lineage_is_live_and_recorded(tmp_path: Path) -> None:
    old = [
        (call(chat("hi")), says("h0")),
        (call(chat(*GROWN)), says("h1")),
        (call(chat(*GROWN, "more")), says("h2")),
        (call(chat("other")), says("o0")),
    ]
    cassette = await recorded(tmp_path / "old", old)
    recorder = Recorder(tmp_path / "new", RecorderSettings(salt=cassette.manifest.salt))
    missed: list[Miss] = []
    settings = PlayerSettings(mode="record_missing", on_miss=lambda _, miss: missed.append(miss))
    tape = Player(cassette, settings, recorder)
    changed = [*GROWN[:2], result("c1", "2")]
    asked = [
        (call(chat("hi")), b'"h0"'),
        (call(chat(*changed)), b'"live"'),  # a miss
        (call(chat("other")), b'"o0"'),
        (call(chat(*changed, "more")), b'"live"'),  # of the same lineage
    ]
    for one, answer in asked:
        assert await carried(tape, one, says("live")) == ([answer], "complete")
    assert [miss.path for miss in missed] == ["$.messages[2].content"]
    tape.close()
    again = player(load(tmp_path / "new"))
    for one, answer in asked:
        assert await played(again, one) == ([answer], "complete")
    assert len({exchange.lineage for exchange in load(tmp_path / "new").exchanges}) == 2


async def test_a_trial_that_is_missing_is_recorded(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path / "old", [(call(chat("hi")), says(1))])
    recorder = Recorder(tmp_path / "new", RecorderSettings(salt=cassette.manifest.salt))
    tape = Player(cassette, PlayerSettings(mode="record_missing"), recorder)
    for name in ("case:1", "case:2"):
        await carried(tape, call(chat("hi"), trial=name), says(2))
    tape.close()
    again = player(load(tmp_path / "new"))
    answers = [await played(again, call(chat("hi"), trial=n)) for n in ("case:1", "case:2")]
    assert answers == [([b"1"], "complete"), ([b"2"], "complete")]


async def test_a_json_rpc_answer_taken_over_answers_what_was_asked(tmp_path: Path) -> None:
    def rpc(id: int) -> Outbound:
        return call({"jsonrpc": "2.0", "id": id, "method": "m"}, form="mcp")

    cassette = await recorded(tmp_path / "old", [(rpc(1), says({"jsonrpc": "2.0", "id": 1}))])
    recorder = Recorder(tmp_path / "new", RecorderSettings(salt=cassette.manifest.salt))
    tape = Player(cassette, PlayerSettings(mode="record_missing"), recorder)
    await carried(tape, rpc(22), says())
    tape.close()
    (body,), _ = await played(player(load(tmp_path / "new")), rpc(333))
    assert msgspec.json.decode(body) == {"jsonrpc": "2.0", "id": 333}


async def test_requests_with_secrets_are_found_again(tmp_path: Path) -> None:
    secret = "sk-abcdefghij1234567890"
    named = {"DB_PASSWORD": "hunter2-hunter2"}
    one = call(chat(f"use {secret} and hunter2-hunter2"))
    cassette = await recorded(tmp_path, [(one, says(1))], secrets=named)
    changed = call(chat(f"use {secret} and hunter2-hunter2", prompt_cache_key="x"))
    assert await played(player(cassette, secrets=named), changed) == ([b"1"], "complete")
    other = call(chat("use sk-another1234567890 and hunter2-hunter2"))
    answer = await player(cassette, secrets=named).carry(other, never)
    assert answer.status == 409


async def test_rules_in_force_are_those_of_the_replay(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path, [(call(chat("order 17")), says(1))])
    assert (await player(cassette).carry(call(chat("order 18")), never)).status == 409
    loose = player(cassette, canonical=Settings(scrub={"order": r"\d+"}))
    assert await played(loose, call(chat("order 18"))) == ([b"1"], "complete")


async def test_services_are_never_replayed(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi")), says(1))])
    one = call(b"", form="plain", surface="service")
    assert await carried(player(cassette), one, says("live")) == ([b'"live"'], "complete")
    assert asked_of(one, "tool").name == "service.thing"


async def test_through_the_gateway_with_nobody_upstream(tmp_path: Path) -> None:
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    events = [event for event, _ in CODEC.encode_stream(turn())]
    asked: list[dict[str, Any]] = [CHAT, CHAT | stream, CHAT | {"model": "sim-busy"}]

    async def upstream(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["model"] == "sim-busy":
            raise web.HTTPTooManyRequests(text="{}", headers={"retry-after": "7"})
        if body.get("stream"):
            return await llm_rig.stream(request, events)
        return llm_rig.answer(CODEC.encode_response(turn()))

    async def ask(run_dir: Path, tape: Any, url: str) -> tuple[list[Any], list[Any]]:
        async with llm_rig.rig(run_dir, upstream, endpoint_url=url) as rig:
            rig.context.tape = tape
            path = f"{rig.trial_url()}/chat/completions"
            got = [await llm_rig.post(path, body, authorization="Bearer k") for body in asked]
            kept = ("status", "outcome", "usage", "finish", "actual", "response")
            ends = [action.end for action in rig.actions()]
            told = [{name: end.attrs.get(name) for name in kept} for end in ends if end]
            for end in told:
                for clocked in ("ms", "bytes"):
                    end["actual"].pop(clocked, None)
            answers = [(status, told.get("retry-after"), body) for status, told, body in got]
            assert len(rig.received) == (0 if url else 3)
            return answers, told

    recorder = Recorder(tmp_path / "cassette", RecorderSettings())
    live = await ask(tmp_path / "live", recorder, "")
    recorder.close()
    nobody = "http://127.0.0.1:9/v1"
    again = await ask(tmp_path / "again", player(load(tmp_path / "cassette")), nobody)
    assert again == live
    assert [answer[0] for answer in live[0]] == [200, 200, 429]
