"""Effects in, places on one scale out."""

from __future__ import annotations

import math

import pytest

from compared_report_runs import effect, no_worse, regressed, vast
from proofrig.comparisons.comparison import Terms
from proofrig.reports.effects_plot import most_of, ticks_of, whisker

TERMS = Terms()


def test_zero_is_in_the_middle_and_worse_is_left_whatever_its_sign() -> None:
    fell = effect("a", "share", (0.8, 0.7), (-0.15, -0.05), "regressed", better="higher")
    rose = effect("b", "tokens", (100.0, 110.0), (5.0, 15.0), "regressed", better="lower")
    plain = effect("c", "calls", (100.0, 110.0), (5.0, 15.0), better="")
    for one, places in ((fell, (25.0, 12.5, 37.5)), (rose, (25.0, 12.5, 37.5))):
        drawn = whisker(one, 20.0, TERMS)
        assert drawn is not None
        assert (drawn.at, drawn.low, drawn.high, drawn.tone) == (*places, "bad")
    drawn = whisker(plain, 20.0, TERMS)
    assert drawn is not None
    assert (drawn.at, drawn.low, drawn.high, drawn.tone) == (75.0, 62.5, 87.5, "plain")


def test_what_is_beyond_the_scale_is_cut_off_and_says_so() -> None:
    wide = effect("a", "ns", (100.0, 110.0), (-60.0, math.inf), better="higher")
    drawn = whisker(wide, 20.0, TERMS)
    assert drawn is not None
    assert (drawn.low, drawn.high, drawn.cut_low, drawn.cut_high) == (0.0, 100.0, True, True)
    assert drawn.said == "+10.0 %, interval −60.0 % or more"


@pytest.mark.parametrize(
    "one",
    [
        effect("a", "share", (0.5, None)),
        effect("a", "calls", (0.0, 3.0), (1.0, 4.0)),
        effect("a", "calls", (0.0, 3.0)),
    ],
    ids=["not measured now", "no base", "neither base nor interval"],
)
def test_what_cannot_be_drawn_is_not(one: object) -> None:
    assert whisker(one, 20.0, TERMS) is None  # type: ignore[arg-type]


def test_what_has_one_figure_a_run_is_a_bare_point() -> None:
    drawn = whisker(effect("a", "calls", (2.0, 2.2)), 20.0, TERMS)
    assert drawn is not None
    assert (drawn.at, drawn.tone, drawn.said) == (25.0, "bare", "+0.20 (+10.0 %)")


def test_what_is_still_no_worse_and_what_is_too_little_is_shaded() -> None:
    found = {one.metric: whisker(one, 20.0, TERMS) for one in no_worse().effects}
    shades = {name: drawn.shade for name, drawn in found.items() if drawn is not None}
    assert shades["accuracy"] == (37.5, 52.5)  # 5 points less, 1 point more
    assert shades["timeout_rate"] == (37.5, 52.5)
    assert shades["tokens"] == (37.5, 62.5)  # 5 % either way
    assert shades["llm_calls"] == (37.5, 62.5)
    own = whisker(no_worse().effects[2], 20.0, Terms(metrics={"tokens": 0.1}))
    assert own is not None and own.shade == (25.0, 75.0)


def test_the_scale_holds_what_decides_whole_and_is_no_wider_for_the_rest() -> None:
    assert most_of(regressed().effects) == 20.0  # −18.9 points
    assert most_of(no_worse().effects) == 10.0  # 5.5 points
    assert most_of(no_worse().effects[1:]) == 10.0  # nothing decides: 7.0 % of the p95
    assert most_of(vast().effects) == 100.0
    assert most_of([]) == 5.0
    assert most_of([effect("a", "share", (0.5, None))]) == 5.0
    assert [place for place, _ in ticks_of(20.0)] == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert [label for _, label in ticks_of(5.0)] == ["5", "2.5", "0", "2.5", "5"]


def test_an_estimate_beyond_the_scale_has_no_place_on_it() -> None:
    halved = effect("a", "ns", (100.0, 50.0), (-57.0, -41.0), "improved")
    drawn = whisker(halved, 20.0, TERMS)
    assert drawn is not None
    assert (drawn.at, drawn.low, drawn.high, drawn.cut_high) == (None, 100.0, 100.0, True)


def test_every_place_is_within_the_width() -> None:
    most = most_of(vast().effects)
    for one in vast().effects:
        drawn = whisker(one, most, TERMS)
        assert drawn is not None and drawn.at is not None
        assert 0 <= drawn.low <= drawn.at <= drawn.high <= 100
        assert 0 <= drawn.shade[0] <= 50 <= drawn.shade[1] <= 100
