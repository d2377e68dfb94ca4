"""The verdict on the pass rate, its words, and what it would take."""

from __future__ import annotations

from typing import Literal

import pytest

from proofrig.comparisons.comparison import Terms, Word
from proofrig.comparisons.evidence import Counts
from proofrig.comparisons.judging import Judged, judge, minus

FIXED, SAMPLED = Terms(), Terms(cases="sampled")


def arm(cases: int, measured: int, passed: int) -> list[Counts]:
    return [(measured, passed)] * cases


def judged(base: list[Counts], now: list[Counts], terms: Terms = FIXED) -> Judged:
    return judge(base, now, terms, terms.alpha)


@pytest.mark.parametrize("terms", [FIXED, SAMPLED], ids=["fixed", "sampled"])
@pytest.mark.parametrize(
    ("base", "now", "verdict"),
    [
        ((40, 4, 4), (40, 4, 2), "regressed"),
        ((40, 4, 2), (40, 4, 4), "improved"),
        ((100, 8, 8), (100, 8, 8), "no worse"),
        ((3, 1, 1), (3, 1, 0), "inconclusive"),
    ],
)
def test_verdicts(
    base: tuple[int, int, int], now: tuple[int, int, int], verdict: Word, terms: Terms
) -> None:
    found = judged(arm(*base), arm(*now), terms)
    assert found.verdict == verdict
    assert bool(found.needs) is (verdict == "inconclusive")


def test_one_broken_case_regresses_a_fixed_suite_and_not_a_sampled_one() -> None:
    base, now = arm(100, 20, 20), [(8, 0), *arm(99, 8, 8)]
    fixed, drawn = judged(base, now), judged(base, now, SAMPLED)
    assert fixed.verdict == "regressed"
    assert fixed.cases.flags[0]
    assert fixed.says().endswith("; 1 case broke")
    assert drawn.verdict == "no worse"


def test_one_case_that_came_back_does_not_make_up_for_the_others() -> None:
    base = [(20, 0), *arm(50, 20, 19)]
    now = [(8, 8), *arm(50, 8, 7)]
    assert judged(base, now).verdict != "improved"


def test_cases_that_redraw_their_difficulty_are_noise_of_a_sampled_suite() -> None:
    """Half of the cases turned round, one more for the worse: a change of this very suite by the
    counts, and nothing of the kind."""
    base = arm(10, 8, 8) + arm(8, 8, 0)
    now = arm(10, 8, 0) + arm(8, 8, 8)
    assert judged(base, now).verdict == "regressed"
    assert judged(base, now, SAMPLED).verdict == "inconclusive"


def test_the_figures_in_words() -> None:
    assert (
        judged(arm(40, 4, 4), arm(40, 4, 2))
        .says()
        .startswith("pass rate 50.0 %, was 100.0 %: 50.0 points less (")
    )
    up = judged(arm(40, 4, 2), arm(40, 4, 4))
    assert up.says().startswith("pass rate 100.0 %, was 50.0 %: 50.0 points more (")
    assert up.change is not None
    assert up.change.low > 0
    single = judged([(1, 1)], [(1, 1)], SAMPLED)
    assert single.says() == "pass rate 100.0 %, was 100.0 %: no change"


def test_what_more_repeats_would_do() -> None:
    found = judged(arm(20, 20, 16), arm(16, 1, 1) + arm(4, 1, 0), Terms(margin=0.1))
    assert found.verdict == "inconclusive"
    assert found.repeats_needed is not None
    assert 1 <= found.repeats_needed <= 64
    assert f"{found.repeats_needed} more repeat" in found.needs
    assert found.mde is not None
    assert 0.05 < found.mde < 0.5


def test_a_base_that_is_too_small_is_said() -> None:
    found = judged([(1, 1)] * 5 + [(1, 0)] * 5, [(1, 1)] * 5 + [(1, 0)] * 5)
    assert found.repeats_needed is None
    assert "the base has 1 trial of a case at most" in found.needs


def test_a_sampled_suite_needs_cases() -> None:
    found = judged([(4, 4), (4, 2), (4, 3)] * 3, [(4, 2), (4, 3), (4, 4)] * 3, SAMPLED)
    assert found.verdict == "inconclusive"
    assert found.repeats_needed is None
    assert "cases like these" in found.needs


def test_few_cases_that_all_agree_rule_nothing_out_for_others() -> None:
    """Of 20 drawn cases none broke: one in twenty may, and still none be seen in 36 % of runs."""
    few, many = (judged(arm(n, 1, 1), arm(n, 1, 1), SAMPLED) for n in (20, 100))
    assert (few.verdict, many.verdict) == ("inconclusive", "no worse")
    assert few.change is not None
    assert few.change.low < -0.05
    assert few.mde is not None
    assert 0.1 < few.mde < 0.4
    assert few.needs == "about 71 cases like these would tell a drop of 5 points"
    assert "one case says nothing" in judged([(4, 4)], [(4, 4)], SAMPLED).needs


def test_no_single_case_is_told_as_broken_of_a_sample() -> None:
    found = judged(arm(100, 20, 20), [(8, 0), *arm(99, 8, 8)], SAMPLED)
    assert not any(found.cases.flags)
    assert "broke" not in found.says()


@pytest.mark.parametrize("cases", ["fixed", "sampled"])
def test_margins_at_either_end(cases: Literal["fixed", "sampled"]) -> None:
    """Without a margin only what moved can be told; a drop of more than the whole cannot be."""
    same = arm(50, 4, 4)
    none = judged(same, same, Terms(margin=0.0, cases=cases))
    assert (none.verdict, none.repeats_needed) == ("inconclusive", None)
    assert "margin of 0 points" in none.needs
    assert judged(same, same, Terms(margin=1.0, cases=cases)).verdict == "no worse"
    worse = judged(same, arm(50, 4, 2), Terms(margin=0.0, min_effect=0.0, cases=cases))
    assert worse.verdict == "regressed"


@pytest.mark.parametrize(
    ("points", "said"), [(-0.04, "0.0"), (0.0, "0.0"), (-2.06, "\N{MINUS SIGN}2.1"), (3.0, "3.0")]
)
def test_points(points: float, said: str) -> None:
    assert minus(points) == said


def test_a_smaller_alpha_asks_for_more() -> None:
    base, now = arm(20, 4, 4), arm(14, 4, 4) + arm(6, 4, 3)
    assert judge(base, now, FIXED, 0.05).verdict == "regressed"
    assert judge(base, now, FIXED, 0.001).verdict != "regressed"


def test_the_margin_decides_what_is_no_worse() -> None:
    base, now = arm(100, 4, 4), arm(100, 4, 4)
    assert judged(base, now, Terms(margin=0.05)).verdict == "no worse"
    assert judged(base, now, Terms(margin=0.001)).verdict == "inconclusive"
