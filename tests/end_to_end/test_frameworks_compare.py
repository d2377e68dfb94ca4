"""What `make frameworks` compares: an agent's own word against the trajectory of its traffic."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from proofrig.wire.trajectory import Call, Trajectory
from proofrig.wire.turn import Turn

FILE = Path(__file__).parents[2] / "frameworks" / "compare.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("frameworks_compare", FILE)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMPARE = load()
ONE = Call(name="lookup", arguments='{"id":"A-1"}', call_id="c1", result="on its way")
TWO = Call(name="quote", arguments='{"kg":[1.5,2]}', call_id="c2", result='{"cents": 350}')


def did(name: str, call_id: str, **more: Any) -> Any:
    return COMPARE.Did(name=name, call_id=call_id, **more)


def first() -> Any:
    return did("lookup", "c1", arguments={"id": "A-1"}, result="on its way")


def second() -> Any:
    return did("quote", "c2", arguments={"kg": [1.5, 2.0]}, result={"cents": 350})


def kinds(
    calls: list[Any], told: list[Call], said: str = "done", last: str = "done", reply: str = "done"
) -> list[str]:
    truth = COMPARE.Truth(calls=tuple(calls), answer=said)
    trajectory = Trajectory(turns=(Turn(api="messages", text=last),), calls=tuple(told))
    return [one.kind for one in COMPARE.compare(truth, trajectory, reply)]


def test_the_same_calls_results_and_answer_are_no_difference() -> None:
    assert kinds([first(), second()], [ONE, TWO]) == []


def test_an_agent_that_did_nothing_and_was_told_of_nothing() -> None:
    truth = COMPARE.Truth()
    assert COMPARE.compare(truth, Trajectory(), "") == []


@pytest.mark.parametrize(
    "told", [[ONE], [ONE, TWO, ONE], [TWO, ONE], [], [ONE, TWO.__class__("other", call_id="c2")]]
)
def test_missing_extra_swapped_and_other_calls_are_found_once(told: list[Call]) -> None:
    assert kinds([first(), second()], told) == ["calls"]


def test_a_call_of_the_same_tool_under_another_id_is_another_call() -> None:
    assert kinds([first()], [Call("lookup", ONE.arguments, "c9", "on its way")]) == ["calls"]


def test_an_agent_that_knows_no_ids_is_compared_by_order() -> None:
    nameless = did("lookup", "", arguments={"id": "A-1"}, result="on its way")
    assert kinds([nameless], [ONE]) == []


@pytest.mark.parametrize("arguments", ['{"id":"A-2"}', "{}", '{"id":"A-1","x":null}', '{"id":"A'])
def test_other_arguments_and_broken_json_are_differences(arguments: str) -> None:
    assert kinds([first()], [Call("lookup", arguments, "c1", "on its way")]) == ["arguments"]


@pytest.mark.parametrize("text", ["", "{}"])
def test_no_arguments_are_an_empty_object_or_nothing(text: str) -> None:
    assert kinds([did("list", "c1", result="-")], [Call("list", text, "c1", "-")]) == []


@pytest.mark.parametrize(
    ("value", "text", "carried"),
    [
        ("a\n“b”", "a\n“b”", True),
        ("text", '"text"', True),
        ("text", "text ", False),
        ({"a": None, "b": True}, '{"b": true, "a": null}', True),
        ({"a": None, "b": True}, "{'a': None, 'b': True}", True),
        ({"a": 1}, '{"a": true}', False),
        ([1, 2], "[1, 2, 3]", False),
        ([1.0], "[1]", True),
        ({"a": [{"b": 1}]}, '{"a": [{"b": 2}]}', False),
        ({"a": 1}, "not a value", False),
        (None, "null", True),
        (["a", "b"], "a\nb", True),
        (["a", "b"], "b\na", False),
        (["a"], "a", False),
    ],
)
def test_what_a_text_carries(value: Any, text: str, carried: bool) -> None:
    assert COMPARE.carries(text, value) is carried
    call = Call("lookup", ONE.arguments, "c1", text)
    ran = did("lookup", "c1", arguments={"id": "A-1"}, result=value)
    assert kinds([ran], [call]) == ([] if carried else ["result"])


def test_texts_that_have_run_together_are_told_apart_from_other_results() -> None:
    ran = did("lookup", "c1", arguments={"id": "A-1"}, result=["a", "b"])
    assert kinds([ran], [Call("lookup", ONE.arguments, "c1", "ab")]) == ["run together"]
    assert kinds([ran], [Call("lookup", ONE.arguments, "c1", "ac")]) == ["result"]


@pytest.mark.parametrize("state", ["unseen", "unanswered"])
def test_a_result_that_no_request_carried(state: Any) -> None:
    assert kinds([first()], [Call("lookup", ONE.arguments, "c1", state=state)]) == ["not carried"]


@pytest.mark.parametrize(
    ("error", "text", "flag", "expected"),
    [
        ("no order A-1", "failed: no order A-1. Fix it.", None, []),
        ("no order A-1", "failed: no order A-1", True, []),
        ("no order A-1", "failed: no order A-1", False, ["error flag"]),
        ("no order A-1", "an error occurred", True, ["result"]),
        ("", "on its way", False, []),
        ("", "on its way", True, ["error flag"]),
    ],
)
def test_failures_carry_the_tools_words_and_the_flag(
    error: str, text: str, flag: bool | None, expected: list[str]
) -> None:
    result = None if error else "on its way"
    ran = did("lookup", "c1", arguments={"id": "A-1"}, result=result, error=error)
    call = Call("lookup", ONE.arguments, "c1", text, is_error=flag)
    assert kinds([ran], [call]) == expected


def test_the_answer_is_held_against_the_last_turn_and_the_reply() -> None:
    assert kinds([], [], said="done", last="done", reply="other") == ["answer"]
    assert kinds([], [], said="done", last="Let me see", reply="done") == ["answer"]
    assert kinds([], [], said="it", last="done", reply="done") == ["answer", "answer"]


def test_a_difference_says_what_was_done_and_what_was_told() -> None:
    truth = COMPARE.Truth(calls=(first(),), answer="")
    wrong = Trajectory(calls=(Call("lookup", '{"id":"A-2"}', "c1", "on its way"),))
    (found,) = COMPARE.compare(truth, wrong, "")
    assert str(found) == ("""arguments 1 (lookup): did '{"id": "A-1"}', told '{"id": "A-2"}'""")
