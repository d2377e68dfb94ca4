"""Bytes that a trial may still move."""

from __future__ import annotations

from proofrig.gateways.egress.allowance import Allowance


def test_no_more_passes_than_the_limit() -> None:
    said: list[int] = []
    allowance = Allowance(10, lambda one: said.append(one.used))
    assert [allowance.take(size) for size in (4, 6)] == [4, 6]
    assert (said, allowance.spent) == ([], False)  # all of it fitted
    assert [allowance.take(size) for size in (1, 5)] == [0, 0]
    assert (said, allowance.spent, allowance.used) == ([10], True, 10)


def test_what_does_not_fit_whole_passes_in_part() -> None:
    said: list[int] = []
    allowance = Allowance(10, lambda one: said.append(one.used))
    assert allowance.take(25) == 10
    assert said == [10]


def test_without_a_limit_all_is_counted() -> None:
    allowance = Allowance(None, lambda one: None)
    assert [allowance.take(7), allowance.take(8)] == [7, 8]
    assert (allowance.used, allowance.spent) == (15, False)


def test_a_limit_of_nothing_is_used_up_at_once() -> None:
    assert Allowance(0, lambda one: None).spent
