"""Acceptance: a trial's calls and prompts in, which result was taken for which call's out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.history.action import Action, Entry
from proofrig.trials.accepted import accepted_results
from proofrig.wire import CODECS
from proofrig.wire.turn import Message, Request, ToolCall, ToolResult, Turn

PAYLOADS: dict[str, bytes] = {}


def keep(name: str, data: bytes) -> str:
    PAYLOADS[name] = data
    return name


def tool(id: str, call_id: str, result: str | None, *, denied: bool = False) -> Action:
    """A tool call with what its gateway handed over; None where it never ended."""
    name = "tool.look_up"
    decision = "deny" if denied else "allow"
    reserve = Entry(0, 0, "reserve", name, id=id, attrs={"call_id": call_id, "decision": decision})
    end = None
    if result is not None:
        attrs = {"outcome": "ok", "result": keep(f"{id}-result", result.encode())}
        end = Entry(1, 1, "commit", name, id=id, attrs=attrs)
    return Action(id=id, name=name, trial="", tenant="", scope="", reserve=reserve, end=end)


def prompt(id: str, *results: tuple[str, str], at: int = 0) -> Action:
    """A model call, asked at `at`, whose prompt holds these (call id, text) results."""
    calls = tuple(ToolCall(call_id, "look_up", "{}") for call_id, _ in results)
    told = tuple(Message("tool", tool_results=(ToolResult(*result),)) for result in results)
    messages = (Message("user", "go"), Message("assistant", tool_calls=calls), *told)
    request = Request("chat_completions", "m", messages)
    answer = Turn("chat_completions", text="done", finish="stop")
    attrs = {
        "request": keep(f"{id}-request", CODECS["chat_completions"].encode_request(request)),
        "response": keep(f"{id}-response", msgspec.json.encode(answer)),
        "outcome": "ok",
    }
    name = "llm.chat_completions"
    reserve = Entry(0, at, "reserve", name, id=id, attrs={"decision": "allow"})
    end = Entry(2, 99, "commit", name, id=id, attrs=attrs)
    return Action(id=id, name=name, trial="", tenant="", scope="", reserve=reserve, end=end)


def accepted(*actions: Action) -> list[dict[str, Any]]:
    """What was accepted, without the time."""
    found = list(accepted_results(actions, PAYLOADS.get))
    return [{name: value for name, value in one.items() if name != "at_ns"} for one in found]


def test_a_result_that_stands_under_its_own_call_is_accepted_as_that() -> None:
    calls = [tool("a1", "c1", "paid"), tool("a2", "c2", "open")]
    assert accepted(*calls, prompt("m1", ("c1", "paid"), ("c2", "open"))) == [
        {"call": "a1"},
        {"call": "a2"},
    ]


def test_a_result_that_stands_under_another_call_is_misbound() -> None:
    calls = [tool("a1", "c1", "paid"), tool("a2", "c2", "open")]
    assert accepted(*calls, prompt("m1", ("c1", "open"), ("c2", "paid"))) == [
        {"call": "a2", "given_as": "a1"},
        {"call": "a1", "given_as": "a2"},
    ]


def test_a_text_of_several_calls_is_taken_for_the_one_it_stands_under() -> None:
    calls = [tool("a1", "c1", "ok"), tool("a2", "c2", "ok"), tool("a3", "c3", "no")]
    found = accepted(*calls, prompt("m1", ("c2", "ok"), ("c3", "ok"), ("c1", "ok")))
    assert found == [{"call": "a2"}, {"call": "a1"}]  # under c3 it is anybody's


def test_what_nobody_handed_over_and_what_stands_under_no_call_say_nothing() -> None:
    calls = [tool("a1", "c1", "paid"), tool("a2", "c2", None), tool("a3", "c3", "x", denied=True)]
    found = accepted(*calls, prompt("m1", ("c1", "made up"), ("c9", "paid"), ("c3", "x")))
    assert found == []


def test_a_late_result_under_a_call_that_was_asked_again_is_the_earlier_calls() -> None:
    """The same call id twice: the last one is the one that the model waits for."""
    calls = [tool("a1", "c1", "old"), tool("a2", "c1", "new")]
    assert accepted(*calls, prompt("m1", ("c1", "old"))) == [{"call": "a1"}]
    assert accepted(*calls, prompt("m1", ("c1", "new"))) == [{"call": "a2"}]


def test_a_conversation_that_grows_says_each_thing_once() -> None:
    calls = [tool("a1", "c1", "paid"), tool("a2", "c2", "open")]
    prompts = [prompt("m1", ("c1", "paid")), prompt("m2", ("c1", "paid"), ("c2", "open"))]
    assert accepted(*calls, *prompts) == [{"call": "a1"}, {"call": "a2"}]


def test_a_result_is_accepted_when_the_first_prompt_with_it_is_asked() -> None:
    """Actions come as they end, which is another order."""
    calls = [tool("a1", "c1", "paid"), tool("a2", "c2", "open")]
    second = prompt("m2", ("c1", "paid"), ("c2", "open"), at=9)
    first = prompt("m1", ("c1", "paid"), at=5)
    assert list(accepted_results([*calls, second, first], PAYLOADS.get)) == [
        {"call": "a1", "at_ns": 5},
        {"call": "a2", "at_ns": 9},
    ]


@pytest.mark.parametrize(
    ("handed", "told"),
    [
        ('{"a": 1, "b": [2, 3]}', '{"b":[2,3],"a":1}'),
        ('{"result": {"a": 1}}', '{"a": 1}'),
        ('{"result": "paid in full"}', "paid in full"),
        ('"paid in full"', "paid in full"),
        ("paid  in\nfull\n", "paid in full"),
        ("42", " 42 "),
        ("[" * 3 + "]" * 3, "[[[ ]]]"),
    ],
)
def test_white_space_and_the_form_of_json_do_not_matter(handed: str, told: str) -> None:
    assert accepted(tool("a1", "c1", handed), prompt("m1", ("c1", told))) == [{"call": "a1"}]


@pytest.mark.parametrize(
    ("handed", "told"), [('{"a": 1}', '{"a": 2}'), ("paid", "unpaid"), ("[1, 2]", "[2, 1]")]
)
def test_another_text_is_another_result(handed: str, told: str) -> None:
    assert accepted(tool("a1", "c1", handed), prompt("m1", ("c1", told))) == []
