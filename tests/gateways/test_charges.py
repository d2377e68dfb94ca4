"""What a call may cost and what it did cost."""

from __future__ import annotations

import msgspec
import pytest

from llm_rig import PRICES
from proofrig.authority.budget import MAX_AMOUNT
from proofrig.authority.prices import TOOL_PREAMBLE, PriceUnknown
from proofrig.gateways.charges import (
    Bound,
    actual,
    affordable,
    at_most,
    believed,
    bound_of,
    estimate,
    seen,
    thinking_of,
)
from proofrig.wire import CODECS
from proofrig.wire.turn import ToolCall, Turn, Usage


def bound(before: int = 0, **fields: object) -> Bound:
    body = msgspec.json.encode({"model": "sim", "messages": [], **fields})
    request = CODECS["chat_completions"].decode_request(body)
    made = bound_of(request, body, before=before, ceiling=1000, media_tokens=500)
    return msgspec.structs.replace(made, input=made.input - len(body))


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Bound(0, 1000)),
        ({"max_tokens": 7}, Bound(0, 7)),
        ({"max_tokens": -7}, Bound(0, 0)),
        ({"max_tokens": 7, "n": 3}, Bound(0, 21, 3)),
        ({"n": 2}, Bound(0, 2000, 2)),
        ({"n": 0}, Bound(0, 1000)),
        ({"n": "x"}, Bound(0, 1000)),
        ({"metadata": {"n": 9}}, Bound(0, 1000)),
        ({"tools": [TOOL]}, Bound(TOOL_PREAMBLE, 1000)),
    ],
)
def test_the_bound_beyond_the_bodys_bytes(fields: dict[str, object], expected: Bound) -> None:
    assert bound(**fields) == expected


def test_what_is_only_referred_to_is_counted() -> None:
    assert bound(messages=[IMAGE]).input >= 500
    assert bound(messages=[IMAGE, IMAGE]).input >= 1000
    assert bound(before=77).input == 77
    assert bound(messages=[{"role": "user", "content": "the image, the file"}]).input == 0


def test_an_estimate_is_in_every_unit() -> None:
    expected = {"calls": 1, "calls:llm": 1, "tokens": 30, "ms": 1, "bytes": 9}
    assert estimate(Bound(10, 20), "sim", None, 9) == expected
    assert estimate(Bound(10, 20), "sim", PRICES, 9) == expected | {"usd_micro": 50}
    with pytest.raises(PriceUnknown):
        estimate(Bound(10, 20), "new", PRICES, 9)


def test_an_actual_names_tokens_and_money() -> None:
    usage = Usage(input=10, output=20)
    assert actual(usage, "sim", None) == {"tokens": 30}
    assert actual(usage, "sim", PRICES) == {"tokens": 30, "usd_micro": 50}


@pytest.mark.parametrize(
    ("remaining", "answers", "each"),
    [
        ({"tokens": 110}, 1, 10),
        ({"tokens": 110}, 2, 5),
        ({"tokens": 99}, 1, -1),
        ({"usd_micro": 150}, 1, 25),
        ({"usd_micro": 151}, 1, 25),
        ({"tokens": 110, "usd_micro": 150}, 1, 10),
        ({"tokens": 500, "usd_micro": 1000}, 1, 400),
        ({"calls": 0}, 1, -1),
        ({"calls:llm": 0, "tokens": 110}, 1, -1),
        ({"ms": 0, "tokens": 110}, 1, -1),
        ({"bytes": 8}, 1, -1),
        ({"ms": 1, "bytes": 9}, 1, 400),
    ],
)
def test_what_a_budget_still_buys(remaining: dict[str, int], answers: int, each: int) -> None:
    asked = Bound(100, 400, answers)
    held = {"calls": 1, "calls:llm": 1, "tokens": 500, "usd_micro": 900, "ms": 1, "bytes": 9}
    assert affordable(asked, held, remaining, rate=2_000_000) == each


@pytest.mark.parametrize(
    ("turn", "usage"),
    [
        (Turn("messages"), Usage(100, 0)),
        (Turn("messages", text="abcdefg"), Usage(100, 3)),
        (Turn("messages", text="é" * 3), Usage(100, 2)),
        (Turn("messages", tool_calls=(ToolCall("i", "abc", "{}1"),)), Usage(100, 2)),
        (Turn("messages", text="abc", usage=Usage(12, 0)), Usage(12, 1)),
        (Turn("messages", text="abc", usage=Usage(12, 9, cache_read=4)), Usage(12, 9, 4)),
    ],
)
def test_what_broke_off_is_charged_as_seen(turn: Turn, usage: Usage) -> None:
    assert seen(turn, Bound(100, 50)) == usage


def test_a_limit_that_no_ledger_holds_is_held_as_its_largest_amount() -> None:
    held = estimate(Bound(10, 10**18), "sim", PRICES, 9)
    assert (held["tokens"], held["usd_micro"]) == (MAX_AMOUNT, MAX_AMOUNT)


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        (Usage(10, 5), True),
        (Usage(-1, 5), False),
        (Usage(10, -5), False),
        (Usage(10**18, 5), False),
        (Usage(10, 5, cache_read=10**40), False),
        (None, True),
    ],
)
def test_a_usage_that_no_ledger_holds_counts_as_none(usage: Usage | None, kept: bool) -> None:
    assert believed(Turn("messages", usage=usage)).usage == (usage if kept else None)


def test_reasoning_that_passed_is_charged_though_no_turn_holds_it() -> None:
    assert seen(Turn("messages", text="abc"), Bound(100, 50), reasoning=30) == Usage(100, 11)


def test_going_on_from_a_turn_without_usage_is_bounded_by_all_it_read_and_said() -> None:
    turn = Turn("responses", text="é" * 40, tool_calls=(ToolCall("i", "abc", "{}"),))
    usage = at_most(turn, Bound(100, 50), reasoning=7)
    assert usage.input == 100
    assert usage.output >= 7 + len(turn.text.encode()) + len("abc{}")


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b"{}", 0),
        (b'{"thinking": {"type": "enabled", "budget_tokens": 2048}}', 2048),
        (b'{"thinking": {"type": "disabled"}, "x": "budget_tokens"}', 0),
        (b'{"thinking": {"budget_tokens": "many"}}', 0),
    ],
)
def test_what_is_set_aside_for_thinking(body: bytes, tokens: int) -> None:
    assert thinking_of(body) == tokens
