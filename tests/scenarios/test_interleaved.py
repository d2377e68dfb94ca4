"""Interleaved: at least two plans, taking turns, at once."""

from __future__ import annotations

import pytest

from proofrig.errors import UsageError
from proofrig.scenarios.interleaved import Interleaved
from scenario_facts import CASES, facts, shape, starts


def test_the_cases_take_turns_at_once() -> None:
    phases = Interleaved(agents=4, cases=("pay", "ship")).phases(facts())
    assert shape(phases) == [("interleaved", 4, 0, 100.0)]
    assert [(s.case, s.at_ns) for s in starts(phases)] == [("pay", 0), ("ship", 0)] * 2


@pytest.mark.parametrize("cases", [("pay",), ()])
def test_one_case_cannot_be_interleaved(cases: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"two or more cases .* got pay; name them in `scenarios"):
        Interleaved(cases=cases).phases(facts(cases=CASES[:1]))
