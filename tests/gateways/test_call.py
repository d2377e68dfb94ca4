"""A call to a model as the authority and the history see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from llm_rig import CHAT, answer, post, request_of, rig, says_hello, serving, turn
from llm_rig import stream as streamed
from proofrig.wire import CODECS
from proofrig.wire.turn import Message, Usage


async def test_a_call_is_reserved_started_and_committed_with_what_it_cost(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        status, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
    assert (status, body) == (200, CODECS["chat_completions"].encode_response(turn()))
    assert [e.kind for e in r.entries()] == ["reserve", "start", "commit"]
    assert (action.name, action.trial, action.tenant, action.scope) == (
        "llm.chat_completions",
        "case:1",
        "acme",
        "acme/shop/bot/r1",
    )
    size = len(msgspec.json.encode(CHAT))
    assert action.reserve is not None and action.end is not None
    assert {k: action.reserve.attrs[k] for k in ("decision", "channel", "attempt", "estimate")} == {
        "decision": "allow",
        "channel": "path",
        "attempt": 1,
        "estimate": {
            "calls": 1,
            "calls:llm": 1,
            "ms": 1,
            "bytes": size,
            "tokens": size + 10,
            "usd_micro": size + 20,
        },
    }
    kept = ("outcome", "status", "actual", "source", "usage", "finish", "calls", "complete")
    assert {k: action.end.attrs[k] for k in kept} == {
        "outcome": "ok",
        "status": 200,
        "actual": {
            "calls": 1,
            "calls:llm": 1,
            "ms": -(-action.attr("service_ns") // 1_000_000),
            "bytes": size + len(body),
            "tokens": 17,
            "usd_micro": 22,
        },
        "source": "measured",
        "usage": {"input": 12, "output": 5},
        "finish": "stop",
        "calls": 0,
        "complete": True,
    }
    assert r.payload(action.attr("request")) == msgspec.json.encode(CHAT)
    assert r.turn(action) == turn()
    assert r.reserved() == dict.fromkeys(action.attr("actual"), 0)
    assert action.attr("service_ns") > 0 and action.attr("queue_ns") == 0


async def test_a_budget_that_is_gone_denies_and_consumes_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello, budget={"calls": 1}) as r:
        await post(f"{r.trial_url()}/chat/completions", CHAT)
        status, headers, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        denied = r.actions()[1]
        assert (status, headers["x-should-retry"]) == (429, "false")
        facts = msgspec.json.decode(body)["error"]["proofrig"]
        assert facts["code"] == "budget_exceeded"
        assert (facts["scope"], facts["remaining"]) == ("acme", {"calls": 0})
        assert denied.denied and denied.attr("at") == "acme" and denied.attr("fix")
        assert (len(r.bodies), r.spent()["calls"]) == (1, 1)


@pytest.mark.parametrize("unit", ["usd_micro", "tokens", "calls", "calls:llm", "ms", "bytes"])
async def test_zero_of_a_unit_allows_nothing(tmp_path: Path, unit: str) -> None:
    async with rig(tmp_path, says_hello, budget={unit: 0}) as r:
        status, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        assert status == 429
        assert msgspec.json.decode(body)["error"]["proofrig"]["remaining"] == {unit: 0}
        assert r.bodies == [] and set(r.spent().values()) == {0}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("unit", ["ms", "bytes"])
async def test_time_and_bytes_that_are_used_up_deny_the_next_call(
    tmp_path: Path, unit: str, stream: bool
) -> None:
    codec = CODECS["chat_completions"]
    events = [event for event, _ in codec.encode_stream(turn())]

    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.003)
        return await (streamed(request, events) if stream else says_hello(request))

    asked = msgspec.json.encode(
        CHAT | {"stream": stream, "stream_options": {"include_usage": True}}
    )
    limit = {"ms": 2, "bytes": len(asked) + 1}[unit]
    async with rig(tmp_path, slowly, budget={unit: limit}) as r:
        url = f"{r.trial_url()}/chat/completions"
        first, _, body = await post(url, asked)
        second, _, _ = await post(url, asked)
        booked, denied = r.actions()
        assert (first, second, len(r.bodies)) == (200, 429, 1)
        assert booked.attr("actual")["bytes"] == len(asked) + len(body)
        assert booked.attr("actual")["ms"] >= 3
        left = limit - booked.attr("actual")[unit]
        assert left < 0 and denied.attr("remaining") == {unit: left}


async def test_a_limit_is_set_only_where_the_budget_demands_it(tmp_path: Path) -> None:
    free = {"model": "sim", "messages": CHAT["messages"]}
    body = msgspec.json.encode(free)
    async with rig(tmp_path, says_hello, budget={"tokens": len(body) + 100}, ceiling=4000) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", body)
        (action,) = r.actions()
        assert status == 200 and action.attr("amended") == ["max_tokens"]
        assert msgspec.json.decode(r.bodies[0]) == free | {"max_completion_tokens": 100}
        assert action.attr("estimate")["tokens"] == len(body) + 100
    async with rig(tmp_path, says_hello, budget={"tokens": 10_000}, ceiling=4000) as r:
        await post(f"{r.trial_url()}/chat/completions", body)
        assert r.bodies == [body]


async def test_a_model_without_a_price_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        status, _, body = await post(f"{r.trial_url()}/chat/completions", CHAT | {"model": "new"})
        (action,) = r.actions()
    assert (status, action.attr("code"), r.bodies) == (403, "price_unknown", [])
    assert "'new'" in msgspec.json.decode(body)["error"]["message"]


async def test_what_is_no_request_is_answered_400_and_reserves_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, says_hello) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", b'{"model": ')
        (entry,) = r.entries()
    assert (status, entry.kind, entry.attrs["code"]) == (400, "reserve", "invalid_request")
    assert r.payload(entry.attrs["request"]) == b'{"model": '


async def test_an_error_of_the_provider_passes_as_it_came_and_costs_no_tokens(
    tmp_path: Path,
) -> None:
    refusal = CODECS["chat_completions"].encode_error(429, "rate_limit_exceeded", "slow down")

    async def reply(request: web.Request) -> web.StreamResponse:
        headers = {"retry-after": "2", "x-ratelimit-remaining-requests": "0"}
        return web.Response(status=429, body=refusal, headers=headers)

    async with rig(tmp_path, reply) as r:
        status, headers, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
        assert (status, headers["retry-after"], body) == (429, "2", refusal)
        assert (action.outcome, action.attr("status")) == ("fail", 429)
        assert action.attr("error") == "slow down"
        assert (r.spent()["tokens"], r.spent()["calls"]) == (0, 1)


@pytest.mark.parametrize(
    ("simulated", "status", "infra"),
    [
        (False, 429, True),
        (True, 429, None),  # a declared limit
        (True, 529, None),
        (False, 529, True),
        (True, 500, True),
        (False, 401, True),
        (False, 400, None),
        (False, 404, None),
    ],
)
async def test_whose_failure_a_status_is(
    tmp_path: Path, simulated: bool, status: int, infra: bool | None
) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=b"no")

    async with rig(tmp_path, reply, simulated=simulated) as r:
        await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
    assert (action.attr("status"), action.attr("infra")) == (status, infra)


async def test_a_retry_is_linked_to_the_attempt_before_it(tmp_path: Path) -> None:
    answers = [503, 200, 200]

    async def reply(request: web.Request) -> web.StreamResponse:
        status = answers.pop(0)
        body = CODECS["chat_completions"].encode_response(turn())
        return web.Response(status=status, body=body if status == 200 else b"busy")

    async with rig(tmp_path, reply) as r:
        for _ in range(3):
            await post(f"{r.trial_url()}/chat/completions", CHAT)
        first, second, third = r.actions()
    assert (first.attr("attempt"), first.attr("retry_of")) == (1, None)
    assert (second.attr("attempt"), second.attr("retry_of")) == (2, first.id)
    assert second.attr("backoff_ns") > 0
    assert (third.attr("attempt"), third.attr("retry_of")) == (1, None)


async def test_a_refused_connection_is_a_502_and_given_back(tmp_path: Path) -> None:
    async with serving(web.Application()) as url:
        pass  # a port that nothing listens on any more
    async with rig(tmp_path, says_hello, endpoint_url=f"{url}/v1") as r:
        status, headers, body = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
        assert (status, headers["x-should-retry"]) == (502, "true")
        assert "cannot connect" in msgspec.json.decode(body)["error"]["message"]
        assert action.end is not None and action.end.kind == "release"
        assert action.attr("infra") is True
        assert r.spent() == r.reserved() == dict.fromkeys(action.attr("estimate"), 0)


async def test_nonsense_under_status_200_passes_and_is_charged_as_held(tmp_path: Path) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"<html>sign in</html>", content_type="text/html")

    async with rig(tmp_path, reply) as r:
        status, _, got = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
    assert (status, got) == (200, b"<html>sign in</html>")
    assert (action.outcome, action.attr("source")) == ("fail", "estimated")
    assert action.attr("complete") is False and "JSON" in action.attr("error")
    assert action.attr("infra") is True
    took = {"ms": -(-action.attr("service_ns") // 1_000_000)}
    took["bytes"] = action.attr("estimate")["bytes"] + len(got)
    assert action.attr("actual") == action.attr("estimate") | took


async def test_a_conversation_that_continues_by_id_is_written_down_whole(tmp_path: Path) -> None:
    codec = CODECS["responses"]
    ids = iter(["resp_1", "resp_2"])

    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(codec.encode_response(turn("responses", id=next(ids), text="sure")))

    async with rig(tmp_path, reply) as r:
        url = f"{r.trial_url()}/responses"
        await post(url, {"model": "sim", "input": "one"})
        second = msgspec.json.encode(
            {"model": "sim", "input": "two", "previous_response_id": "resp_1"}
        )
        await post(url, second)
        action = r.actions()[1]
        whole = codec.decode_request(r.payload(action.attr("request")))
        assert r.bodies[1] == second == r.payload(action.attr("raw"))
    assert whole.messages == (
        Message("user", "one"),
        Message("assistant", "sure"),
        Message("user", "two"),
    )
    assert action.attr("continues") == "resp_1"
    assert action.attr("estimate")["tokens"] >= 17 + len(second)


@pytest.mark.parametrize(
    ("path", "fields", "goes_on"),
    [
        ("responses", {"previous_response_id": "resp_of_another_trial"}, "resp_of_another_trial"),
        ("responses", {"conversation": "conv_1"}, "conv_1"),
        ("responses", {"conversation": {"id": "conv_1"}}, "conv_1"),
        ("messages", {"thread": {"previous_message_id": "msg_0"}}, "msg_0"),
    ],
)
async def test_what_goes_on_from_nothing_held_is_held_as_a_whole_context(
    tmp_path: Path, path: str, fields: dict[str, object], goes_on: str
) -> None:
    body = msgspec.json.encode(msgspec.json.decode(request_of(path)) | fields)

    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(CODECS[path].encode_response(turn(path)))

    async with rig(tmp_path, reply, unknown_conversation_tokens=5000) as r:
        assert (await post(f"{r.trial_url()}/{path}", body))[0] == 200
        (action,) = r.actions()
        assert r.bodies == [body] == [r.payload(action.attr("request"))]
    assert action.attr("estimate")["tokens"] == len(body) + 9 + 5000
    assert (action.attr("continues"), action.attr("assumed")) == (goes_on, 5000)
    assert action.attr("raw") is None


async def test_the_bound_of_an_unknown_conversation_outlives_a_turn_without_usage(
    tmp_path: Path,
) -> None:
    ids = iter(["resp_1", "resp_2"])

    async def reply(request: web.Request) -> web.StreamResponse:
        made = turn("responses", id=next(ids), usage=None)
        return answer(CODECS["responses"].encode_response(made))

    async with rig(tmp_path, reply, unknown_conversation_tokens=5000) as r:
        for before in ("resp_0", "resp_1"):
            asked = {"model": "sim", "input": "hi", "previous_response_id": before}
            await post(f"{r.trial_url()}/responses", asked | {"max_output_tokens": 9})
        unknown, known = r.actions()
    assert (unknown.attr("assumed"), known.attr("assumed")) == (5000, None)
    assert known.attr("estimate")["tokens"] > unknown.attr("estimate")["tokens"] > 5000


async def test_a_conversation_that_no_longer_fits_in_memory_is_held_as_a_whole_context(
    tmp_path: Path,
) -> None:
    ids = iter(["resp_1", "resp_2", "resp_3"])

    async def reply(request: web.Request) -> web.StreamResponse:
        return answer(CODECS["responses"].encode_response(turn("responses", id=next(ids))))

    asked = {"model": "sim", "input": "hi"}
    async with rig(tmp_path, reply, conversation_bytes=1) as r:
        for body in (asked, asked, asked | {"previous_response_id": "resp_1"}):
            await post(f"{r.trial_url()}/responses", body)
        action = r.actions()[2]
    assert (action.attr("assumed"), action.attr("raw")) == (200_000, None)
    assert action.attr("estimate")["tokens"] >= 200_000


async def test_a_budget_holds_under_concurrency(tmp_path: Path) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return await says_hello(request)

    hold = len(msgspec.json.encode(CHAT)) + CHAT["max_tokens"]
    async with rig(tmp_path, slowly, budget={"tokens": 3 * hold + 1}) as r:
        url = f"{r.trial_url()}/chat/completions"
        answers = await asyncio.gather(*(post(url, CHAT) for _ in range(20)))
        assert sorted(status for status, _, _ in answers) == [200] * 3 + [429] * 17
        assert (len(r.bodies), r.spent()["tokens"], r.reserved()["tokens"]) == (3, 3 * 17, 0)
        assert sum(action.denied for action in r.actions()) == 17


async def test_a_hold_that_ran_out_is_charged_once_and_the_agent_gets_its_answer(
    tmp_path: Path,
) -> None:
    async def too_late(request: web.Request) -> web.StreamResponse:
        r.context.authority.sweep(everything=True)
        return await says_hello(request)

    async with rig(tmp_path, too_late) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
        assert (status, action.outcome, action.attr("source")) == (200, "ok", "estimated")
        assert action.attr("actual") == action.attr("estimate") == r.spent()
        assert "expired" in action.attr("error")


async def test_every_attribute_written_is_in_the_reference(tmp_path: Path) -> None:
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "history.md").read_text()
    statuses = iter([500, 200, 200, 200])

    async def reply(request: web.Request) -> web.StreamResponse:
        body = CODECS["responses"].encode_response(turn("responses", id="resp_1"))
        return web.Response(status=next(statuses), body=body, content_type="application/json")

    asked = {"model": "sim", "input": "hi", "max_output_tokens": 5}
    unknown = asked | {"previous_response_id": "resp_0"}
    async with rig(tmp_path, reply, budget={"calls": 4}) as r:
        url = f"{r.trial_url()}/responses"
        for body in (asked, asked, asked | {"previous_response_id": "resp_1"}, unknown, asked):
            await post(url, body, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
        await post(f"{r.url}/v1/responses", asked, x_api_key="sk-nobody-0000")
        kinds = [(entry.kind, entry.attrs.get("decision")) for entry in r.entries()]
        written = {name for entry in r.entries() for name in entry.attrs}
    assert kinds.count(("reserve", "deny")) == kinds.count(("note", None)) == 1
    assert {"retry_of", "continues", "raw", "assumed", "trace", "hint", "fix"} <= written
    assert [name for name in sorted(written) if f"`{name}`" not in reference] == []


async def test_a_body_that_cannot_be_amended_holds_nothing(tmp_path: Path) -> None:
    body = b'{"model":"sim","messages":[],"stream":true,"\xff":1}'
    async with rig(tmp_path, says_hello) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", body)
        reserved = r.reserved()
    assert (status, len(r.received)) == (400, 0)
    assert [(e.kind, e.attrs["decision"]) for e in r.entries()] == [("reserve", "deny")]
    assert set(reserved.values()) == {0}


@pytest.mark.parametrize("count", [-5, 10**18])
async def test_a_mad_usage_is_no_usage(tmp_path: Path, count: int) -> None:
    body = CODECS["chat_completions"].encode_response(turn(usage=Usage(count, 1)))

    async def mad(_: web.Request) -> web.StreamResponse:
        return answer(body)

    async with rig(tmp_path, mad) as r:
        status, _, got = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
        reserved = r.reserved()
    assert (status, got) == (200, body)
    assert (action.outcome, action.attr("source")) == ("ok", "partial")
    assert action.attr("usage") == {"input": len(msgspec.json.encode(CHAT)), "output": 2}
    assert set(reserved.values()) == {0}


@pytest.mark.parametrize(
    ("counts", "source", "usage"),
    [
        ({"prompt_tokens": 12.0, "completion_tokens": 5.0}, "measured", {"input": 12, "output": 5}),
        ({"prompt_tokens": 12.5, "completion_tokens": 5}, "partial", None),
        ({"prompt_tokens": "12"}, "partial", None),
        ("none", "partial", None),
    ],
)
async def test_a_usage_that_is_odd_never_costs_the_turn(
    tmp_path: Path, counts: object, source: str, usage: dict[str, int] | None
) -> None:
    said = msgspec.json.decode(CODECS["chat_completions"].encode_response(turn()))
    body = msgspec.json.encode(said | {"usage": counts})

    async def odd(_: web.Request) -> web.StreamResponse:
        return answer(body)

    async with rig(tmp_path, odd) as r:
        assert (await post(f"{r.trial_url()}/chat/completions", CHAT))[::2] == (200, body)
        (action,) = r.actions()
        assert r.turn(action).text == "hello"
    assert (action.outcome, action.attr("source"), action.attr("infra")) == ("ok", source, None)
    bounded = {"input": len(msgspec.json.encode(CHAT)), "output": 2}
    assert action.attr("usage") == (usage or bounded)


async def test_a_limit_beyond_every_ledger_is_for_the_provider_to_judge(tmp_path: Path) -> None:
    body = msgspec.json.encode(CHAT | {"max_tokens": 10**17})
    async with rig(tmp_path, says_hello) as r:
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", body)
    assert (status, r.bodies) == (200, [body])
    assert [e.kind for e in r.entries()] == ["reserve", "start", "commit"]
