"""Rulings in, words out."""

from __future__ import annotations

from pathlib import Path

import pytest

from authority_report_runs import a_ruled_run
from proofrig.reports import authority
from proofrig.reports.contention import kinds_of
from proofrig.reports.reading import cautions, verdict_of
from proofrig.rulings import Booked, Charged, Coverage, Ruled, Rulings
from report_runs import Recorder, a_run


@pytest.mark.parametrize(
    ("ruled", "said"),
    [
        (Ruled("deny", "no-mail", "forbidden"), "rule no-mail"),
        (Ruled("deny", "five", "budget_exceeded", at="acme", places=1), "cap of rule five"),
        (Ruled("deny", code="budget_exceeded", at="acme", places=1), "budget of acme"),
        (
            Ruled("deny", code="rate_exceeded", at="acme/d/s/1", places=1200),
            "rate of 1,200 scopes like acme/d/s/1",
        ),
        (Ruled("deny", code="not_allowed"), "no rule allows it"),
        (Ruled("deny", code="no_progress_detected"), "the watch: no progress"),
        (Ruled("cap"), "what the budget still buys"),
        (Ruled("deny", code="something_new"), "something new"),
    ],
)
def test_who_decided_is_the_rule_or_the_limit(ruled: Ruled, said: str) -> None:
    assert authority.who(ruled) == said


def test_a_code_is_told_where_the_rule_alone_does_not_say_it() -> None:
    assert authority.why(Ruled("deny", "r", "argument_missing")) == "argument_missing"
    assert authority.why(Ruled("deny", "r", "forbidden")) == ""
    assert authority.why(Ruled("deny", "r", "rate_exceeded")) == ""
    assert authority.why(Ruled("deny", code="budget_exceeded")) == ""


def test_the_headline_says_would_in_shadow_mode(tmp_path: Path) -> None:
    enforced = a_ruled_run(tmp_path / "a").report(0)
    answers = "1 approved, 1 refused, 1 not answered in time"
    assert authority.headline(enforced) == f"denied 9 of 93 actions, 3 asked ({answers})"
    shadow = a_ruled_run(tmp_path / "b", "shadow").report(0)
    said = "would have blocked 12 of 96 actions, $0.0018; 3 more would have asked"
    assert authority.headline(shadow) == said
    assert authority.headline(a_run(tmp_path / "c", cases=0).report(0)) == ""


def test_the_share_of_actions_seen_says_what_was_not() -> None:
    seen = Coverage(models=6, tools=2, unasked_tools=1, observed=1)
    assert authority.coverage(Rulings(coverage=seen)) == (
        "80.0 % of 10 known actions came to the authority; not: 1 tool call that a model asked for "
        "and no gateway saw, 1 action only observed"
    )
    assert authority.coverage(Rulings()) == ""


@pytest.mark.parametrize(
    ("unit", "value", "shown", "name"),
    [
        ("usd_micro", 1_500_000, "$1.50", "money"),
        ("usd_micro/day", 1_500_000, "$1.50", "money per day"),
        ("ms", 1_500, "1.50 s", "busy time"),
        ("bytes", 12_000, "12.0 kB", "bytes"),
        ("calls:tool.search", 3, "3", "calls of tool.search"),
        ("tokens/minute", 20, "20", "tokens per minute"),
        ("children", 4, "4", "child scopes"),
    ],
)
def test_units_are_said_as_people_say_them(unit: str, value: int, shown: str, name: str) -> None:
    assert (authority.amount(unit, value), authority.unit_of(unit)) == (shown, name)


def test_the_nearest_limit_comes_first_and_a_window_has_no_share() -> None:
    actual, limits = {"calls": 9, "tokens": 10}, {"tokens": 100, "calls": 10, "calls/minute": 5}
    row = Booked("acme", actual, limits)
    assert authority.limits_of(row) == [
        ("calls", 9, 10, 0.9),
        ("tokens", 10, 100, 0.1),
        ("calls/minute", None, 5, None),
    ]
    assert authority.limits_of(Booked("a", {"calls": 1}, {"calls": 0})) == [("calls", 1, 0, 1.0)]
    assert authority.columns([row]) == ["tokens", "calls"]


def test_charges_come_in_the_order_of_their_certainty() -> None:
    rulings = Rulings(charges={"estimated": Charged(1), "measured": Charged(2)})
    assert [name for name, _, _ in authority.charges(rulings)] == ["measured", "estimated"]


def test_what_the_watch_did_is_a_finding_and_what_it_warned_of_is_none(tmp_path: Path) -> None:
    report = a_ruled_run(tmp_path).report(0)
    (kind,) = kinds_of(report)
    assert (kind.name, kind.found, kind.found_in) == ("repeat_stopped", 3, "3 found")
    assert kind.shown[0].finding.trials == ("research:1",)
    assert "3 anomalies were found (repeat stopped)" in cautions(report)[-1]
    assert verdict_of(report).tone == "unsure"
    run = Recorder(tmp_path / "warned")
    with run.trial("a") as trial:
        attrs = {"kind": "flood", "step": "warn", "count": 2, "says": "slow down"}
        run.write(trial.t, "note", "anomaly", trial=trial.name, attrs=attrs)
    warned = run.report(0)
    assert kinds_of(warned) == [] and verdict_of(warned).tone == "plain"


def test_in_shadow_mode_the_watch_stopped_nothing(tmp_path: Path) -> None:
    (kind,) = kinds_of(a_ruled_run(tmp_path, "shadow").report(0))
    assert kind.name == "repeat"
    assert kind.shown[0].finding.witness[0].says == "would have stopped"
