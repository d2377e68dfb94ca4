"""What earlier trials leave: histories in, verdicts out."""

from __future__ import annotations

from typing import Any

import pytest

from checkers.shared_things import begin, check, do, end, get, put
from proofrig.checkers.leftover_state import LeftoverState
from proofrig.history.action import Entry

FIRST = [*begin("a", 0), *put("a", 1, 2, "k", "left", id="w"), *end("a", 3)]
SECOND = [*begin("b", 4), *get("b", 5, 6, "k", "left", id="r")]
PRIVATE: dict[str, dict[str, Any]] = {"memory": {"scope": "trial"}}


def test_a_later_trial_reads_it_where_it_should_begin_clean() -> None:
    checked = check(LeftoverState, FIRST, SECOND, topology=PRIVATE)
    assert checked.verdict == "invalid"
    [finding] = checked.findings
    assert (finding.kind, finding.trials) == ("leftover_state", ("a", "b"))
    assert [one.id for one in finding.witness] == ["w", "r"]


def test_where_memory_may_last_it_is_counted() -> None:
    checked = check(LeftoverState, FIRST, SECOND)
    assert (checked.verdict, checked.measures) == ("unknown", {"inherited_reads": 1.0})
    assert "scope: trial" in checked.says


def test_entries_of_caches_are_inherited_too() -> None:
    cached = [
        *begin("a", 0),
        *do("cache.put", "a", 1, 2, key="q", entry="e1", id="w"),
        *end("a", 3),
        *begin("b", 4),
        *do("cache.get", "b", 5, 6, key="other words", hit=True, entry="e1", id="r"),
    ]
    assert check(LeftoverState, cached, topology=PRIVATE).verdict == "invalid"


GOOD: dict[str, list[Entry]] = {
    "its own": [*FIRST, *begin("b", 4), *put("b", 5, 6, "k", "x"), *get("b", 7, 8, "k", "x")],
    "of one that still ran": [
        *begin("a", 0),
        *begin("b", 0),
        *put("a", 1, 2, "k", "left"),
        *end("a", 3),
        *SECOND[1:],
    ],
    "both wrote it": [
        *FIRST,
        *begin("b", 4),
        *put("b", 5, 6, "k", "left"),
        *get("b", 7, 8, "k", "left"),
    ],
    "nothing": [*FIRST, *begin("b", 4), *get("b", 5, 6, "k", None), *get("b", 7, 8, "k", "own")],
}


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_inherited(name: str) -> None:
    checked = check(LeftoverState, GOOD[name], topology=PRIVATE)
    assert (checked.verdict, checked.measures) == ("valid", {"inherited_reads": 0.0})


def test_without_private_services_nothing_can_be_said() -> None:
    assert check(LeftoverState, GOOD["its own"]).verdict == "unknown"


def compared(clean: str, used: str) -> list[Entry]:
    """Trials that passed (`+`) or failed (`-`) in either environment."""
    found, t = [], 0
    for part, outcomes in (("clean", clean), ("used", used)):
        for number, outcome in enumerate(outcomes):
            trial = f"c@used_environment:{part}{number}"
            passed = outcome == "+"
            found.append(Entry(0, t, "trial", "begin", trial, "acme", attrs={"part": part}))
            found.append(Entry(0, t + 1, "trial", "end", trial, "acme", attrs={"passed": passed}))
            t += 2
    return found


@pytest.mark.parametrize(
    ("clean", "used", "verdict"),
    [
        ("+" * 10, "-" * 10, "invalid"),
        ("+" * 20, "+" * 10 + "-" * 10, "invalid"),
        ("+" * 3, "++-", "unknown"),  # what the interval does not exclude is no finding
        ("+-" * 5, "+-" * 5, "unknown"),
        ("+" * 20, "+" * 20, "valid"),
        ("-" * 9 + "+", "+" * 10, "valid"),  # better is not worse
        ("-" * 10, "-" * 10, "unknown"),  # what never passes cannot get worse
    ],
)
def test_the_used_environment_is_compared_with_the_clean_one(
    clean: str, used: str, verdict: str
) -> None:
    checked = check(LeftoverState, compared(clean, used))
    assert checked.verdict == verdict
    assert {"clean_pass_rate", "used_pass_rate"} <= checked.measures.keys()
    if verdict == "invalid":
        [finding] = checked.findings
        assert finding.kind == "used_environment_worse"
        assert all(":used" in trial for trial in finding.trials)
