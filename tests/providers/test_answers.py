"""What a simulated vendor puts around a reply."""

from __future__ import annotations

import math

import pytest

from proofrig.providers.answers import (
    Failure,
    Ids,
    cut,
    ids_of,
    model_list,
    overloaded,
    refused,
    turn_of,
)
from proofrig.providers.limits import Meter, Refusal, TenantLimits
from proofrig.providers.prompt import Reply, output_tokens
from proofrig.wire.turn import Api, Request, ToolCall, Usage

CALLS = (ToolCall("", "look", '{"a":1}'), ToolCall("mine", "look", '{"a":2}'))


def test_a_reply_becomes_a_turn_with_ids_usage_and_finish() -> None:
    asked = Request("messages", "sim", max_tokens=1000)
    turn, usage = turn_of(Reply("Hm.", CALLS), asked, Ids("msg_1", "toolu_1"), 30, 1700)
    assert (turn.id, turn.model, turn.finish, turn.created) == ("msg_1", "sim", "tool_calls", 1700)
    assert [call.id for call in turn.tool_calls] == ["toolu_100", "mine"]
    assert turn.usage == usage == Usage(30, output_tokens(Reply("Hm.", CALLS)))
    told, _ = turn_of(Reply("Hm.", usage=Usage(1, 2)), asked, Ids("", ""), 30, 0)
    assert (told.finish, told.usage) == ("stop", Usage(1, 2))


def test_a_long_reply_is_cut_at_the_agents_limit() -> None:
    assert cut(Reply("x" * 400), 100) == Reply("x" * 400)
    assert cut(Reply("x" * 404), 100) == Reply("x" * 400, finish="length")
    long = Reply("", (ToolCall("", "save", '{"text":"' + "x" * 400 + '"}'),))
    short = cut(long, 20)
    assert short.finish == "length"
    assert short.calls[0].parsed() is None  # broken JSON, as real models leave it
    assert output_tokens(short) <= 20
    assert cut(long, 2).calls == ()
    assert cut(long, None) == long


@pytest.mark.parametrize(
    ("api", "reply", "call"),
    [
        ("chat_completions", "chatcmpl-", "call_"),
        ("responses", "resp_", "call_"),
        ("messages", "msg_", "toolu_"),
    ],
)
def test_ids_are_the_vendors(api: Api, reply: str, call: str) -> None:
    assert ids_of(api, 255) == Ids(f"{reply}00000000000000ff", f"{call}00000000000000ff")


def test_refusals_say_what_the_vendor_says() -> None:
    meter = Meter(TenantLimits(tokens_per_minute=1000), 0.0)
    soon = refused("responses", "sim", Refusal("tokens", 1.5, 1000, 900), meter, 0.0)
    assert (soon.status, soon.kind, soon.reason) == (429, "rate_limit_exceeded", "tokens")
    assert "sim on tokens per min (TPM): Limit 1000, Requested 900" in soon.message
    assert dict(soon.headers)["retry-after-ms"] == "1500"
    assert dict(soon.headers)["x-ratelimit-limit-tokens"] == "1000"
    never = refused("responses", "sim", Refusal("too_large", math.inf, 1000, 9000), meter, 0.0)
    assert never.message.startswith("Request too large")
    assert dict(never.headers)["x-should-retry"] == "false"
    full: dict[Api, int] = {"messages": 529, "responses": 503, "chat_completions": 503}
    assert {api: overloaded(api).status for api in full} == full


def test_the_list_of_models_in_both_shapes() -> None:
    assert [m["id"] for m in model_list(["a", "b"], anthropic=False)["data"]] == ["a", "b"]
    listed = model_list(["a", "b"], anthropic=True)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("a", "b", False)


def test_a_failure_has_a_reason_to_be_counted_by() -> None:
    assert Failure(400, "", "x").reason == "bad_request"
    assert Failure(404, "thread_not_found", "x").reason == "thread_not_found"
