"""A comparison in, words and orders out."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from compared_report_runs import (
    EVERY,
    effect,
    flip,
    inconclusive,
    no_worse,
    regressed,
    vast,
    vile,
)
from proofrig.comparisons.comparison import Behaviour, Comparison, Effect, Terms, Word
from proofrig.reports import comparison as shown


@pytest.mark.parametrize(
    ("given", "change", "span", "short"),
    [
        (
            effect("accuracy", "share", (0.85, 0.729), (-0.189, -0.052)),
            "−12.1 points",
            "−18.9 to −5.2 points",
            ("−12.1 points", "−18.9 to −5.2"),
        ),
        (
            effect("cost", "usd_micro", (652.0, 730.4), (21.0, 139.0)),
            "+$0.0000784 (+12.0 %)",
            "+3.2 to +21.3 %",
            ("+12.0 %", "+3.2 to +21.3"),
        ),
        (
            effect("duration_p95", "ns", (5.7e8, 6.1e8), (-8e7, math.inf)),
            "+40.0 ms (+7.0 %)",
            "−14.0 % or more",
            ("+7.0 %", "−14.0 or more"),
        ),
        (
            effect("duration_p95", "ns", (5.7e8, 6.1e8), (-math.inf, 8e7)),
            "+40.0 ms (+7.0 %)",
            "+14.0 % or less",
            ("+7.0 %", "+14.0 or less"),
        ),
        (
            effect("x", "ns", (5.0, 6.0), (-math.inf, math.inf)),
            "+20.0 %",
            "unbounded",
            ("+20.0 %", "unbounded"),
        ),
        (
            effect("retries", "calls", (0.0, 2.0), (0.5, 3.0)),
            "+2",
            "+0.50 to +3",
            ("+2", "+0.50 to +3"),
        ),
        (
            effect("tokens", "tokens", (100.0, 1200.0), (900.0, 1300.0)),
            "+1,100 (+1,100 %)",
            "+900 to +1,300 %",
            ("+1,100 %", "+900 to +1,300"),
        ),
        (
            effect("x", "share", (0.5, 0.5002), (-0.1, 0.1)),
            "no change",
            "−10.0 to +10.0 points",
            None,
        ),
        (effect("x", "calls", (4.0, 4.0), (-1.0, 1.0)), "no change", "−25.0 to +25.0 %", None),
        (effect("x", "share", (0.5, None)), "not measured now", "", None),
        (effect("x", "share", (None, 0.5)), "not measured in the base", "", None),
        (effect("x", "share", (None, None)), "not measured", "", None),
        (effect("x", "share", (0.5, 0.4)), "−10.0 points", "", ("−10.0 points", "")),
    ],
    ids=range(13),
)
def test_a_change_is_said_in_points_or_relative_to_the_base(
    given: Effect, change: str, span: str, short: tuple[str, str] | None
) -> None:
    assert (shown.change(given), shown.span(given)) == (change, span)
    if short is not None:
        assert shown.short_change(given) == short


def test_what_decides_comes_first_then_what_changed_then_the_rest() -> None:
    found = shown.effects_of(regressed())
    assert [one.metric for one in found.deciding] == ["accuracy"]
    assert [one.metric for one in found.moved] == ["cost", "p50(duration)"]
    assert [one.metric for one in found.neutral] == ["llm_calls"]
    assert [one.verdict for one in found.rest] == ["inconclusive"] * 2 + ["no worse"] * 3
    assert [one.metric for one in found.single] == [
        "burst:p99(latency)",
        "tenant_probe:leak_rate",
        "burst:tool_429_rate",
    ]
    titles = [title for title, _ in shown.headings(found)]
    assert titles == [shown.DECIDES, shown.MOVED, shown.NEUTRAL, shown.QUIET, shown.SINGLE]
    assert [title for title, _ in shown.headings(shown.effects_of(no_worse()))] == [
        shown.DECIDES,
        shown.NEUTRAL,
        shown.QUIET,
        shown.SINGLE,
    ]


def test_long_groups_that_prove_nothing_are_folded() -> None:
    assert len(shown.open_of(shown.headings(shown.effects_of(regressed())))) == 5
    every = shown.headings(shown.effects_of(vast()))
    assert [title for title, _ in shown.open_of(every)] == [
        shown.DECIDES,
        shown.MOVED,
        shown.NEUTRAL,
    ]


@pytest.mark.parametrize("name", sorted(EVERY))
def test_no_metric_is_lost_and_none_is_twice(name: str) -> None:
    held = EVERY[name]()
    listed = [one for _, group in shown.headings(shown.effects_of(held)) for one in group]
    assert sorted(one.metric for one in listed) == sorted(one.metric for one in held.effects)


def test_cases_that_changed_stand_in_one_list_each_the_greatest_change_first() -> None:
    found = shown.cases_of(regressed())
    assert [one.case for one in found.broken] == ["refund_07", "address_change_08"]
    assert [one.case for one in found.worse] == ["order_status_09", "exchange_10"]
    assert [one.case for one in found.better] == ["two_orders_05"]
    assert found.count == 5
    many = shown.cases_of(vast())
    drops = [shown.moved(one) for one in many.worse]
    rises = [shown.moved(one) for one in many.better]
    assert drops == sorted(drops) and rises == sorted(rises, reverse=True)


def test_a_case_that_one_side_did_not_measure_has_not_changed() -> None:
    held = Comparison(run="a", base="b", verdict="no worse", says="", flips=[flip("x", 0, 0, 0, 4)])
    assert shown.cases_of(held).count == 0
    assert shown.counts(held.flips[0]) == ("not measured", "0/4")


@pytest.mark.parametrize(
    ("verdict", "p", "adjusted", "said"),
    [
        ("regressed", 0.0002, None, "p < 0.001"),
        ("regressed", 0.01, 0.034, "p 0.034"),
        ("inconclusive", 0.18, None, "p 0.18"),
        ("improved", 0.99, None, ""),
        ("improved", 0.004, None, "p 0.004"),
        ("no worse", 0.3, None, ""),
        ("regressed", None, None, ""),
    ],
)
def test_a_p_is_shown_where_it_proves_something(
    verdict: Word, p: float | None, adjusted: float | None, said: str
) -> None:
    one = effect("x", "", (1.0, 2.0), verdict=verdict, p=p, p_adjusted=adjusted)
    assert shown.proof(one) == said


def test_what_it_takes_is_said_where_it_is_known() -> None:
    said = shown.to_decide(inconclusive())
    assert said[0] == "8 more repeats of each case would decide it."
    assert said[1] == "Pass rate: the interval still holds a drop of more than 5 points"
    assert "a drop of 11.5 points is seen 80 % of the time" in said[2]
    assert shown.to_decide(regressed()) == []
    assert "8.1 points" in shown.power_of(regressed())
    assert shown.power_of(vast()) == ""


@pytest.mark.parametrize(
    ("verdict", "says", "fact"),
    [
        ("regressed", "pass rate fell", "pass rate fell"),
        ("no worse", "No worse: within 5 points", "within 5 points"),
        ("unreliable", "", "the two were not measured alike, so nothing can be said"),
    ],
)
def test_the_fact_stands_without_the_verdict(verdict: Word, says: str, fact: str) -> None:
    assert shown.fact(Comparison(run="a", base="b", verdict=verdict, says=says)) == fact


def test_the_terms_are_a_sentence() -> None:
    assert shown.terms_of(regressed()) == (
        "Judged for this very suite, over 10 cases: false alarms at most 5 % in all; a drop counts "
        "from 1 point on, and one within 5 points is no worse."
    )
    given: dict[str, Any] = {"run": "a", "base": "b", "verdict": "no worse", "says": "", "cases": 1}
    drawn = Comparison(**given, terms=Terms(cases="sampled", min_effect=0.025))
    assert "new cases like these, over 1 case" in shown.terms_of(drawn)
    assert "from 2.5 points on" in shown.terms_of(drawn)


def test_behaviour_says_its_proof_and_what_to_do_about_a_new_finding() -> None:
    tool, gone, path, finding = regressed().behaviour
    assert shown.told(tool).endswith("called in none (p < 0.001)")
    assert shown.told(gone) == "lookup_policy is called no more"
    assert [shown.kind_of(one) for one in (tool, gone, path, finding)] == [
        "New tool",
        "Tool dropped",
        "Other steps",
        "New finding",
    ]
    assert "compare-and-set" in shown.advice_of(finding)
    assert shown.advice_of(Behaviour(kind="tool_new", says="x", name="lost_update")) == ""


def test_an_amount_is_told_once_and_without_the_p_of_the_other_side() -> None:
    cheaper = Behaviour(kind="cost", name="cost", says="cost of a trial: -12.9 %", p=1.0)
    given = Behaviour(kind="tokens", name="tokens", says="tokens of a trial: -3 %", p=1.0)
    held = regressed()
    held.behaviour += [msgspec.structs.replace(one, certain=True) for one in (cheaper, given)]
    assert [one.kind for one in shown.behaviour_of(held)][-2:] == ["finding_new", "tokens"]
    assert shown.told(held.behaviour[-1]) == "tokens of a trial: -3 %"


def test_a_kind_is_not_said_twice() -> None:
    assert shown.told(regressed().behaviour[2]).startswith("distance 0.31 where chance makes 0.12")


def test_what_broke_is_flaky_no_longer() -> None:
    held = regressed()
    held.flaky.append("refund_07")
    assert shown.flaky_of(held) == ["exchange_10", "two_orders_11"]


def test_names_are_one_line_without_control_characters() -> None:
    held = vile()
    every = [shown.base_of(held), shown.fact(held), *map(shown.metric, held.effects)]
    every += [shown.told(held.behaviour[0]), shown.kind_of(held.behaviour[0])]
    assert not any("\x1b" in text or "\u202e" in text or "\n" in text for text in every)
    assert shown.some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
