"""Trials that a vendor's limits kept from being measured."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.agents.agent import Ending
from proofrig.history.action import Action, Entry
from proofrig.trials.throttled import throttled

S = 1_000_000_000


def model_call(id: str, *, retry_of: str = "", **end: Any) -> Action:
    reserve = Entry(0, 0, "reserve", "llm.messages", id=id, attrs={"retry_of": retry_of})
    commit = Entry(1, 1, "commit", "llm.messages", id=id, attrs={"outcome": "fail"} | end)
    return Action(id, "llm.messages", "case:1", "acme", "s", reserve=reserve, end=commit)


REFUSED = {"status": 429, "infra": True, "throttled": True}


@pytest.mark.parametrize(
    ("actions", "ending", "said"),
    [
        ([], "ok", ""),
        ([model_call("a", outcome="ok")], "timeout", ""),
        ([model_call("a", status=429)], "ok", ""),
        (
            [model_call("a", **REFUSED)],
            "error",
            "throttled: the vendor's limits turned away 1 of 1 calls to models. Not measured",
        ),
        # It asked again and got through: then it is the agent's.
        ([model_call("a", **REFUSED), model_call("b", retry_of="a", outcome="ok")], "ok", ""),
        ([model_call("a", **REFUSED), model_call("b", retry_of="a", status=400)], "ok", ""),
        (
            [model_call("a", **REFUSED), model_call("b", retry_of="a", **REFUSED)],
            "ok",
            "turned away 1 of 2 calls",
        ),
        # A later call that went well was another one.
        (
            [model_call("a", **REFUSED), model_call("b", outcome="ok", throttle_ns=2 * S)],
            "ok",
            "turned away 1 of 2 calls to models, after 2.0 s of waiting",
        ),
        ([model_call("a", outcome="ok", throttle_ns=2 * S)], "ok", ""),
        ([model_call("a", outcome="ok", throttle_ns=2 * S)], "timeout", ""),
        (
            [model_call("a", outcome="ok", throttle_ns=3 * S)],
            "timeout",
            "held its calls back for 3.0 s of the 30.0 s that it had",
        ),
        ([model_call("a", outcome="ok", throttle_ns=3 * S)], "error", ""),
    ],
)
def test_what_a_vendors_limits_did(actions: list[Action], ending: Ending, said: str) -> None:
    found = throttled(actions, ending, 30 * S)
    assert said in found
    assert bool(said) == bool(found)
