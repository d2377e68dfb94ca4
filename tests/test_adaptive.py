"""When a run with adaptive repeats has told enough, and the level that its looks may speak at."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from proofrig.adaptive import (
    Question,
    SoFar,
    final_alpha,
    held_against,
    kept,
    levels,
    looks_of,
    rate_gate,
    rate_settled,
    repeats_of,
    whole_rounds,
)
from proofrig.comparisons.comparison import Terms
from proofrig.comparisons.gate import Gate, GateResult
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.results import Row, Summary, score
from proofrig.thresholds import Op, parse

LOOKS = [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("most", "looks"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, LOOKS), (12, [*LOOKS, 12])]
)
def test_looks_double_up_to_the_most(most: int, looks: list[int]) -> None:
    assert looks_of(most) == looks


def crossing(base: float, at: list[float], found: list[float]) -> float:
    """How often any of the looks speaks though nothing changed, by simulation."""
    draw = np.random.default_rng(7).standard_normal
    information = np.array([base * k / (base + k) for k in at])
    steps = np.sqrt(np.diff(information, prepend=0.0))
    z = np.cumsum(draw((200_000, len(at))) * steps, axis=1) / np.sqrt(information)
    from scipy.special import ndtr

    return float((ndtr(-z) <= np.array(found)).any(axis=1).mean())


@pytest.mark.parametrize("base", [1, 8, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_all_looks_together_keep_the_error_rate(base: float, alpha: float) -> None:
    found = levels(base, LOOKS, alpha)
    assert found == sorted(found)
    assert crossing(base, [float(k) for k in LOOKS], found) == pytest.approx(alpha, rel=0.06)


@pytest.mark.parametrize(
    ("ended", "at"), [(3.0, [1.0, 2.0, 3.0]), (7.9, [1.0, 2.0, 4.0, 7.9]), (4.0, [1.0, 2.0, 4.0])]
)
def test_a_run_that_ended_off_its_plan_keeps_it_too(ended: float, at: list[float]) -> None:
    found = levels(20, LOOKS, 0.05, ended)
    assert found[:2] == pytest.approx(levels(20, LOOKS, 0.05)[:2], rel=1e-3)
    assert crossing(20, at, found) == pytest.approx(0.05, rel=0.06)


def test_the_level_at_the_end_is_that_of_its_look() -> None:
    planned = levels(20, LOOKS, 0.05)
    assert [final_alpha(0.05, 20, LOOKS, look=look) for look in (1, 2, 3, 4)] == planned
    assert final_alpha(0.05, 20, LOOKS, ended=8.0) == pytest.approx(planned[-1], rel=1e-6)
    assert final_alpha(0.05, 20, LOOKS, ended=1.0) == pytest.approx(0.05)  # nobody had looked
    assert final_alpha(0.05, 20, LOOKS, ended=6.0) < 0.05
    assert final_alpha(0.05, 20, [], look=0, ended=4.0) == 0.05  # its repeats were given
    assert final_alpha(0.05, 0, LOOKS, look=1) == 0.05


@pytest.mark.parametrize("ended", [2.5, 4.0, 6.0, 8.0])
def test_a_run_that_its_gate_ended_spends_no_more_than_was_due_by_then(ended: float) -> None:
    due = final_alpha(0.05, 20, LOOKS, ended=ended, chosen=True)
    assert due <= final_alpha(0.05, 20, LOOKS, ended=ended) + 1e-9
    if ended in LOOKS:
        assert due == pytest.approx(levels(20, LOOKS, 0.05)[LOOKS.index(int(ended))], rel=1e-3)


def row(case: str, repeat: int, passed: bool | None, **more: Any) -> Row:
    failure = "" if passed else "infra" if passed is None else "agent"
    return Row(f"{case}:{repeat}", case, repeat, passed=passed, failure=failure, **more)  # type: ignore[arg-type]


def rounds(*passed: str) -> list[Row]:
    """A text for each round: what became of each case, `+`, `-`, `?` (infra) or a blank."""
    meaning = {"+": True, "-": False, "?": None}
    return [
        row(f"c{number}", repeat, meaning[one])
        for repeat, text in enumerate(passed, start=1)
        for number, one in enumerate(text)
        if one != " "
    ]


@pytest.mark.parametrize(
    ("rows", "whole"),
    [
        ([], None),
        (rounds("+ -"), None),
        (rounds("+--"), (3, 1)),
        (rounds("+--", "+ -"), (3, 1)),
        (rounds("+ -", "+++"), None),  # the second was whole first
        (rounds("+?-", "+++"), (5, 4)),
        (
            [*rounds("+--"), row("a", 1, True, scenario="burst"), row("a", 0, True, role="null")],
            (3, 1),
        ),
    ],
)
def test_only_rounds_that_are_whole_count(rows: list[Row], whole: tuple[int, int] | None) -> None:
    assert whole_rounds(rows, 3) == whole


@pytest.mark.parametrize(
    ("op", "bound", "whole", "reach", "answer"),
    [
        (">=", 0.5, None, (0.5, 1.0), "pass"),
        (">", 0.5, None, (0.5, 1.0), ""),
        (">=", 0.9, None, (0.2, 0.8), "fail"),
        ("<=", 0.9, None, (0.2, 0.8), "pass"),
        ("<", 0.2, None, (0.2, 0.8), "fail"),
        ("==", 0.5, (40, 40), (0.6, 0.8), ""),
        (">=", 0.9, (10, 10), (0.1, 1.0), ""),  # ten of ten is not yet 90 %
        (">=", 0.9, (200, 200), (0.1, 1.0), "pass"),
        (">=", 0.9, (200, 120), (0.1, 1.0), "fail"),
        (">=", 0.9, (200, 120), None, "fail"),
        (">=", 0.9, (0, 0), None, ""),
    ],
)
def test_a_rate_is_settled_when_nothing_can_change_it_or_it_is_sure(
    op: Op,
    bound: float,
    whole: tuple[int, int] | None,
    reach: tuple[float, float] | None,
    answer: str,
) -> None:
    assert rate_settled(op, bound, whole, reach, 0.05) == answer


def gate(text: str, **more: Any) -> Gate:
    return Gate(rule=text, threshold=parse(text), **more)


def so_far(rows: list[Row], repeats: int = 1) -> SoFar:
    summary = Summary(overall=score("all", rows, repeats))
    return SoFar(summary, rows, Sample(suite="s", suite_digest="d", runs=["r"]))


HALF, MOST_PASS = rate_gate(50), rate_gate(95)
COST = gate("cost_per_trial <= $0.5")


@pytest.mark.parametrize(
    ("gates", "rows", "says"),
    [
        ([HALF], rounds("+++", "+++"), "pass rate >= 50 % is settled"),  # 6 of at most 12
        ([HALF], rounds("+++", "++-"), ""),
        ([MOST_PASS], rounds("++-"), "pass rate >= 95 % has failed for good"),
        ([HALF, COST], rounds("+++", "+++"), ""),  # what a trial costs may still change
        ([COST, MOST_PASS], rounds("++-"), "pass rate >= 95 % has failed for good"),
        # repeats of the plan tell nothing of a scenario, nor of what nobody measured
        ([HALF, gate("p99(pool_wait) < 250ms")], rounds("+++", "+++"), "is settled"),
        ([HALF, gate("accuracy >= 0.9", scenario="burst")], rounds("+++", "+++"), "is settled"),
        ([gate("accuracy >= 50 %", sure=True)], rounds("+++", "+++"), ""),
        ([HALF], rounds("+" * 40 + "?" * 60), ""),  # sure, but not while so much is unmeasured
        ([gate("accuracy >= 0.5 * baseline")], rounds("+++"), "is settled"),  # there is none
    ],
)
def test_a_run_is_settled_by_one_fail_or_when_nothing_is_open(
    gates: list[Gate], rows: list[Row], says: str
) -> None:
    question = Question(gates=gates, cases=3, planned={"": 12, "burst": 5}, looks=[1, 2, 4])
    found = question.settled(so_far(rows), 1)
    assert says in found
    assert bool(says) == bool(found)


@pytest.mark.parametrize(
    ("asked", "elapsed_s", "rows", "aborts"),
    [
        ({"abort": True}, 0, rounds("---"), True),
        ({"abort": True}, 0, rounds("+--"), False),  # 10 of 12 may still pass
        ({}, 0, rounds("---"), False),
        ({"abort": True, "after_s": 30.0}, 29, rounds("---"), False),
        ({"abort": True, "after_s": 30.0}, 30, rounds("---"), True),
    ],
)
def test_a_gate_ends_a_run_only_where_it_says_so(
    asked: dict[str, Any], elapsed_s: float, rows: list[Row], aborts: bool
) -> None:
    question = Question(gates=[gate("accuracy >= 80 %", **asked)], cases=3, planned={"": 12})
    said = question.aborted(so_far(rows), elapsed_s)
    assert bool(said) is aborts
    assert said.startswith("accuracy >= 80 % has failed for good" if aborts else "")


def sampled(repeats: int, rate: float) -> Sample:
    """Forty cases, of which the first ones, so many of a hundred, always pass."""
    names = [f"c{number:02}" for number in range(40)]
    trials = [
        TrialSample(case=name, repeat=repeat, passed=place < 40 * rate)
        for repeat in range(1, repeats + 1)
        for place, name in enumerate(names)
    ]
    cases = dict.fromkeys(names, "d")
    return Sample(suite="s", suite_digest="d", runs=[f"r{rate}"], cases=cases, trials=trials)


@pytest.mark.parametrize(
    ("rate", "look", "margin", "says"),
    [
        (0.5, 1, 0.05, "regressed: "),
        (0.9, 1, 0.05, ""),  # two of forty that failed once
        (0.9, 4, 0.05, "regressed: "),
        (0.95, 4, 0.05, "no worse: "),
        (0.95, 1, 0.05, ""),  # too little to be sure of five points
        (0.95, 2, 0.3, "no worse: "),
    ],
)
def test_a_run_is_held_against_its_baseline_at_the_level_of_the_look(
    rate: float, look: int, margin: float, says: str
) -> None:
    question = Question(
        gates=[Gate(rule="no regression of accuracy", regression="accuracy")],
        base=sampled(8, 0.95),
        terms=Terms(margin=margin),
        cases=40,
        planned={"": 320},
        looks=LOOKS,
    )
    held = SoFar(Summary(overall=score("all", [], 1)), [], sampled(LOOKS[look - 1], rate))
    found = question.settled(held, look)
    assert found.startswith(says)
    assert bool(found) == bool(says)


def in_burst(sample: Sample, rate: float) -> Sample:
    """The sample with as many trials in a scenario, of which so many pass."""
    staged = [
        msgspec.structs.replace(trial, scenario="burst", passed=place < rate * len(sample.trials))
        for place, trial in enumerate(sample.trials)
    ]
    return msgspec.structs.replace(sample, trials=[*sample.trials, *staged])


@pytest.mark.parametrize(("looks", "verdict"), [(LOOKS, "no worse"), ([], "regressed")])
def test_after_looks_the_end_compares_what_they_did(looks: list[int], verdict: str) -> None:
    base, now = in_burst(sampled(8, 0.95), 1.0), in_burst(sampled(8, 0.95), 0.2)
    found = held_against(base, now, Terms(), looks)
    assert found.verdict == verdict
    assert any("of the plain plan alone" in line for line in found.why) is bool(looks)


def test_what_should_not_be_compared_is_never_a_regression() -> None:
    other = msgspec.structs.replace(sampled(8, 0.95), what={"tenants": {"a": 1, "b": 1}})
    question = Question(
        gates=[Gate(rule="no regression of accuracy", regression="accuracy")],
        base=other,
        cases=40,
        planned={"": 320},
        looks=LOOKS,
    )
    held = SoFar(Summary(overall=score("all", [], 1)), [], sampled(1, 0.2))
    said = question.settled(held, 1)
    assert said.startswith("unreliable: the two were not run under the same conditions")
    end = held_against(other, held.sample, Terms(), LOOKS, look=1)
    assert said == f"{end.verdict}: {end.says}"


@pytest.mark.parametrize(
    ("state", "why", "says"),
    [
        ("inconclusive", "g has failed for good: 1 of 9", ("fail", "1 of 9", True)),
        ("fail", "g has failed for good: 1 of 9", ("fail", "2 of 9", True)),
        ("pass", "g has failed for good: 1 of 9", ("pass", "2 of 9", False)),
        ("inconclusive", "g2 has failed for good: 1 of 9", ("inconclusive", "2 of 9", False)),
        ("inconclusive", "the time budget was reached", ("inconclusive", "2 of 9", False)),
    ],
)
def test_what_failed_for_good_has_failed(state: Any, why: str, says: tuple[str, str, bool]) -> None:
    found = kept(GateResult("g", state, "2 of 9"), [why])
    assert (found.state, found.message, found.abort) == says


def test_repeats_of_a_sample_are_those_of_its_plan() -> None:
    trials = [
        TrialSample(case="a", repeat=1, passed=True),
        TrialSample(case="a", repeat=2, passed=None),
        TrialSample(case="a", repeat=3, passed=False),
        TrialSample(case="b", repeat=1, passed=True),
        TrialSample(case="b", repeat=1, passed=True, scenario="burst"),
    ]
    sample = Sample(suite="s", suite_digest="d", runs=["r"], trials=trials)
    assert repeats_of(sample) == 1.5
    assert repeats_of(Sample(suite="s", suite_digest="d", runs=["r"])) == 0
