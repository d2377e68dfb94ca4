"""`acts_once` and `duplicate_effects` against a count of what was really carried out."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.checkers.checker import Setting
from proofrig.checkers.duplicate_effects import DuplicateEffects
from proofrig.verifiers.expectations.acts_once import acts_once
from struck_trials import StruckTrial

# order, idempotency key, what became of it: done, hidden by a fault, never reached, an error
CALLS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["done", "hidden", "never", "error"]),
    ),
    max_size=8,
)
COMMITS = {
    "done": {},
    "hidden": {"undelivered": True, "is_error": True},
    "never": {"outcome": "fail", "executed": False},
    "error": {"is_error": True},
}
FAULTS = {"hidden": "reset", "never": "http_error"}


def trial_of(calls: list[tuple[int, str, str]]) -> StruckTrial:
    trial = StruckTrial()
    for order, key, became in calls:
        arguments = {"order": order} | ({"idempotency_key": key} if key else {})
        trial.tool("pay", arguments, fault=FAULTS.get(became, ""), **COMMITS[became])
    return trial


def effects(calls: list[tuple[int, str, str]]) -> Counter[int]:
    """How often each order was really paid: calls with one key are carried out once."""
    done = [(order, key) for order, key, became in calls if became in ("done", "hidden")]
    keyed = {one for one in done if one[1]}
    return Counter(order for order, _ in [*keyed, *(one for one in done if not one[1])])


@settings(max_examples=150, deadline=None)
@given(CALLS)
def test_acts_once_fails_exactly_where_something_was_done_twice(
    calls: list[tuple[int, str, str]],
) -> None:
    twice = any(count > 1 for count in effects(calls).values())
    assert acts_once(["pay"], trial_of(calls).hits()).passed is not twice


@settings(max_examples=150, deadline=None)
@given(CALLS)
def test_every_duplicate_that_is_found_was_done_twice(calls: list[tuple[int, str, str]]) -> None:
    trial = trial_of(calls)
    checker = DuplicateEffects(Setting(payload=trial.payloads.get, changes=lambda name: True))
    for action in trial.actions:
        checker.action(action)
    found = checker.result().found
    assert not found or max(effects(calls).values()) > 1
    hidden = [became for *_, became in calls].count("hidden")
    if not hidden:
        assert found == 0
