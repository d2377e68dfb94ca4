"""What a sliding window counts, and when."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.authority.budget import SECOND_NS, WINDOWS
from proofrig.authority.windows import SLICES, Window


@pytest.mark.parametrize(
    ("held", "charged", "at", "counts"),
    [
        (10, 4, 5, 4),  # what came back leaves its slice
        (10, 14, 5, 14),  # debt counts too
        (10, 4, 61, 0),  # its slice is gone, and what came back with it
        (10, 14, 61, 4),  # what came on top counts from now
    ],
)
def test_a_charge_takes_the_place_of_its_hold(
    held: int, charged: int, at: int, counts: int
) -> None:
    window = Window("minute", 0)
    window.add(held, 0)
    window.settle(held, charged, 0, at * SECOND_NS)
    assert window.at(at * SECOND_NS) == counts


@pytest.mark.parametrize(
    ("asked", "now", "wait"),
    [(3, 0, 61), (3, 60, 1), (1, 0, 0), (11, 0, 0), (8, 30, 31), (10, 30, 61)],
)
def test_it_says_when_an_amount_will_fit(asked: int, now: int, wait: int) -> None:
    window = Window("minute", 0)
    window.limit = 10
    window.add(8, 0)
    if now == 30:
        window.add(1, 30 * SECOND_NS)
    assert window.wait_ns(asked, now * SECOND_NS) == wait * SECOND_NS


@given(
    name=st.sampled_from(sorted(WINDOWS)),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=80),
)
@settings(max_examples=100, deadline=None, database=None)
def test_no_stretch_as_long_as_the_window_holds_more_than_the_limit(
    name: str, steps: list[tuple[int, int]]
) -> None:
    width, limit = WINDOWS[name], 12
    window = Window(name, 0)
    window.limit = limit
    now, taken = 0, []
    for step, amount in steps:
        now += step * width // SLICES // 3
        wait = window.wait_ns(amount, now)
        if window.at(now) + amount <= limit:
            window.add(amount, now)
            taken.append((now, amount))
        else:
            assert deepcopy(window).at(now + wait - 1) + amount > limit
            assert deepcopy(window).at(now + wait) + amount <= limit
    for begin, _ in taken:
        assert sum(n for t, n in taken if begin <= t < begin + width) <= limit
