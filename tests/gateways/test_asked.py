"""Joining tool calls to the model turns that asked for them."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.gateways.asked import COME, AskedCalls, canonical, same_tool
from proofrig.wire.turn import Message, Request, ToolCall, ToolResult, Turn


def turn(*calls: ToolCall, id: str = "") -> Turn:
    return Turn("responses", id, "m", tool_calls=calls)


def request(*messages: Message, previous: str = "") -> Request:
    return Request("responses", "m", messages, previous_id=previous)


def add(id: str, x: int = 1) -> ToolCall:
    return ToolCall(id, "add", f'{{"x":{x}}}')


def result(call_id: str) -> Message:
    return Message("tool", tool_results=(ToolResult(call_id, "2"),))


def asked(*calls: ToolCall, trial: str = "t") -> AskedCalls:
    """Calls that one turn asked for."""
    waiting = AskedCalls()
    waiting.note(trial, "llm", request(), turn(*calls))
    return waiting


def claimed(waiting: AskedCalls, name: str, arguments: Any, call_id: str = "") -> Any:
    found = waiting.claim("t", name, arguments, call_id)
    return found and (found[0].call_id, found[1])


def test_the_id_wins_over_everything() -> None:
    waiting = asked(ToolCall("a", "add", '{"x":1}'), ToolCall("b", "sub", "{}"))
    assert claimed(waiting, "add", {"x": 1}, "b") == ("b", "id")
    assert claimed(waiting, "add", {"x": 1}, "unknown") == ("a", "arguments")
    assert claimed(waiting, "add", {"x": 1}) is None


def test_arguments_are_compared_as_values_not_as_text() -> None:
    waiting = asked(ToolCall("a", "add", '{"y": 2, "x": 1}'), ToolCall("b", "add", '{"x":3}'))
    assert claimed(waiting, "add", {"x": 3}) == ("b", "arguments")
    assert claimed(waiting, "add", {"x": 1, "y": 2}) == ("a", "arguments")


def test_equal_calls_of_a_turn_are_claimed_in_the_order_they_were_asked() -> None:
    waiting = asked(*(ToolCall(id, "add", "{}") for id in "abc"))
    assert [claimed(waiting, "add", {}) for _ in range(4)] == [
        ("a", "arguments"),
        ("b", "arguments"),
        ("c", "arguments"),
        None,
    ]


def test_the_name_alone_is_the_last_resort() -> None:
    waiting = asked(ToolCall("a", "add", "not json"), ToolCall("b", "other", "{}"))
    assert claimed(waiting, "add", {"x": 1}) == ("a", "name")


def test_the_very_name_wins_over_one_with_a_prefix() -> None:
    waiting = asked(ToolCall("a", "find_order", '{"x":1}'), ToolCall("b", "order", '{"x":1}'))
    assert claimed(waiting, "order", {"x": 1}) == ("b", "arguments")
    assert claimed(waiting, "order", {"x": 1}) == ("a", "arguments")


def test_equal_calls_of_two_turns_are_claimed_newest_turn_first() -> None:
    waiting = asked(add("thrown away"), add("too"))
    waiting.note("t", "llm-2", request(), turn(add("a"), add("b")))
    assert [claimed(waiting, "add", {"x": 1}) for _ in range(3)] == [
        ("a", "arguments"),
        ("b", "arguments"),
        ("thrown away", "arguments"),
    ]


def test_equal_arguments_win_over_a_newer_turn() -> None:
    waiting = asked(add("old", 1))
    waiting.note("t", "llm-2", request(), turn(add("new", 2)))
    assert claimed(waiting, "add", {"x": 1}) == ("old", "arguments")


@pytest.mark.parametrize(
    "later",
    [
        request(
            Message("user", "q"), Message("assistant", tool_calls=(add("old"),)), result("old")
        ),
        request(Message("assistant", tool_calls=(add("old"),)), Message("user", "never mind")),
        request(result("old"), previous="r1"),
        request(Message("user", "never mind"), previous="r1"),
        request(result("old")),  # the vendor knows the conversation by an id of its own
    ],
)
@pytest.mark.parametrize("calls", [(), (ToolCall("new", "sub", "{}"),)])
def test_a_call_waits_until_its_conversation_has_gone_on(
    later: Request, calls: tuple[ToolCall, ...]
) -> None:
    waiting = AskedCalls()
    waiting.note("t", "llm-1", request(), turn(add("old"), id="r1"))
    waiting.note("t", "llm-2", later, turn(*calls, id="r2"))
    assert claimed(waiting, "add", {"x": 1}) is None
    assert claimed(waiting, "add", {"x": 1}, "old") is None
    assert claimed(waiting, "sub", {}) == (("new", "arguments") if calls else None)


def test_the_same_id_in_a_later_turn_is_the_later_turns_call() -> None:
    waiting = asked(add("call_0", 1))
    echo = Message("assistant", tool_calls=(add("call_0", 1),))
    waiting.note("t", "llm-2", request(echo, result("call_0")), turn(add("call_0", 2)))
    found = waiting.claim("t", "add", {"x": 2}, "call_0")
    assert found is not None and (found[0].action, found[1]) == ("llm-2", "id")
    assert waiting.claim("t", "add", {"x": 1}) is None


def test_branches_that_run_at_once_leave_each_others_calls_alone() -> None:
    waiting = AskedCalls()
    waiting.note("t", "a1", request(Message("user", "a")), turn(add("a", 1), id="ra"))
    waiting.note("t", "b1", request(Message("user", "b")), turn(add("b", 2), id="rb"))
    waiting.note("t", "a2", request(result("a"), previous="ra"), turn(add("a'", 3), id="ra2"))
    assert claimed(waiting, "add", {"x": 2}) == ("b", "arguments")
    assert claimed(waiting, "add", {"x": 3}) == ("a'", "arguments")
    assert claimed(waiting, "add", {"x": 1}) is None


def test_ids_that_are_not_given_close_nothing() -> None:
    waiting = asked(add(""))
    waiting.note("t", "llm-2", request(Message("assistant", tool_calls=(add(""),))), turn())
    assert claimed(waiting, "add", {"x": 1}) == ("", "arguments")


def test_trials_do_not_see_each_others_calls() -> None:
    waiting = asked(ToolCall("a", "add", "{}"), trial="other")
    assert waiting.claim("t", "add", {}) is None
    waiting.end("other")
    assert waiting.claim("other", "add", {}) is None


@pytest.mark.parametrize(
    ("model", "tool", "same"),
    [
        ("add", "add", True),
        ("mcp__calc__add", "add", True),
        ("calc-add", "add", True),
        ("calc.add", "add", True),
        ("padd", "add", False),
        ("add", "mcp__calc__add", False),
    ],
)
def test_a_model_may_name_the_tool_with_its_server(model: str, tool: str, same: bool) -> None:
    assert same_tool(model, tool) is same


def test_canonical_arguments_have_sorted_keys() -> None:
    assert canonical({"b": {"d": 1, "c": 2}, "a": [1]}) == '{"a":[1],"b":{"c":2,"d":1}}'


def test_how_many_of_the_same_tool_are_to_come_before() -> None:
    calls = [ToolCall(f"c{n}", name, f'{{"n":{n}}}') for n, name in enumerate("abaab")]
    waiting = asked(*calls)

    def before(name: str, n: int) -> int:
        found = waiting.claim("t", name, {"n": n})
        assert found is not None and found[0].call_id == f"c{n}"
        return found[2]

    assert [before("a", 3), before("b", 4), before("a", 0), before("b", 1)] == [2, 1, 0, 0]
    assert before("a", 2) == 0


def test_a_call_that_comes_again_stands_where_it_stood() -> None:
    waiting = asked(*(add(f"c{n}", n) for n in range(4)))
    assert claimed(waiting, "add", {"x": 2}) == ("c2", "arguments")
    for call_id in ("c2", ""):  # by its id, or by its arguments; never as another of that name
        assert waiting.claim("t", "add", {"x": 2}, call_id) is None
        assert waiting.ahead("t", "add", {"x": 2}, call_id) == 2
    assert claimed(waiting, "add", {"x": 0}) == ("c0", "arguments")
    assert waiting.ahead("t", "add", {"x": 2}) == 1
    assert waiting.ahead("t", "add", {"x": 9}, "c9") == 0
    assert waiting.ahead("t", "sub", {"x": 2}) == 0
    waiting.note("t", "llm-2", request(Message("assistant", tool_calls=(add("c2"),))), turn())
    assert waiting.ahead("t", "add", {"x": 2}) == 0


def test_what_has_come_is_not_remembered_without_end() -> None:
    waiting = asked(*(add(f"c{n}", n) for n in range(2 * COME)))
    for n in range(1, 2 * COME):
        assert claimed(waiting, "add", {"x": n}, f"c{n}") == (f"c{n}", "id")
    assert waiting.ahead("t", "add", {"x": 2 * COME - 1}) == 1
    assert waiting.ahead("t", "add", {"x": 1}, "c1") == 0
