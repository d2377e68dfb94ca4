"""What the figures of a run came to, and what was not measured."""

from __future__ import annotations

from typing import Any

import pytest

from gated_runs import (
    burst,
    checked,
    launch,
    leaks,
    pools,
    requests,
    scenario,
    score,
    summary,
    updates,
)
from proofrig.checkers.checker import Checked
from proofrig.comparisons.readings import (
    Reading,
    asked,
    counted,
    evidence_of,
    figures_of,
    readings_of,
)
from proofrig.figures import FIGURES
from proofrig.results import Score, Summary
from proofrig.rulings import Rulings


def whole(found: Summary) -> dict[str, Reading]:
    return readings_of(found)[""]


def of_burst(*seen: Checked) -> dict[str, Reading]:
    return readings_of(summary(None, burst(*seen)))["burst"]


OVERALL = score(
    8,
    10,
    12,
    cases=4,
    k=4,
    k_cases=2,
    pass_at={"1": 0.8, "4": 1.0},
    pass_hat={"1": 0.8, "4": 0.5},
    failures={"infra": 1, "harness": 1, "timeout": 1, "limit": 1},
    usd_micro=2_400_000,
    tokens=1200,
    llm_calls=36,
    retries=6,
    duration_ns={"p50": 1e9, "p95": 2e9, "p99": 3e9},
    null_passed=1,
    null_trials=4,
)


@pytest.mark.parametrize(
    ("name", "value", "n", "missing"),
    [
        ("accuracy", 0.8, 10, 2),
        ("pass_at_k", 1.0, 2, 2),
        ("pass_hat_k", 0.5, 2, 2),
        ("pass_hat_4", 0.5, 2, 2),
        ("pass_hat_1", 0.8, 2, 2),
        ("infra_rate", 2 / 12, 12, 0),
        ("timeout_rate", 0.1, 10, 2),
        ("limit_rate", 0.1, 10, 2),
        ("cost", 2.4, 12, 0),
        ("cost_per_trial", 0.2, 12, 0),
        ("cost_per_pass", 0.3, 8, 0),
        ("tokens_per_trial", 100.0, 12, 0),
        ("llm_calls", 36.0, 12, 0),
        ("retries_per_trial", 0.5, 12, 0),
        ("tool_calls", 0.0, 12, 0),
        ("p95(duration)", 2e9, 10, 0),
        ("null_pass_rate", 0.25, 4, 0),
    ],
)
def test_figures_of_a_score(name: str, value: float, n: int, missing: int) -> None:
    one = whole(summary(OVERALL))[name]
    assert (one.value, one.n, one.missing) == (pytest.approx(value), n, missing)


@pytest.mark.parametrize(
    ("overall", "name", "why"),
    [
        (score(0, 0, 3), "accuracy", "there were no measured trials"),
        (score(0, 0, 3), "p50(duration)", "there were no measured trials"),
        (score(0, 3), "cost_per_pass", "no trial passed"),
        (score(3, 3, k=4), "pass_hat_k", "there were no cases with 4 measured trials"),
        (Score("all"), "cost", "no trial ran"),
        (Score("all"), "infra_rate", "there were no trials"),
        (Score("all"), "unattributed", "no trial ran"),
        (score(), "p50(llm_latency)", "no model call was answered"),
        (score(), "null_pass_rate", "there were no trials of the null agent"),
        (score(), "denied_rate", "the run had no policy"),
        (score(), "flaky_rate", "there were no cases measured twice or more"),
    ],
)
def test_what_was_not_measured_says_why(overall: Score, name: str, why: str) -> None:
    one = whole(summary(overall))[name]
    assert (one.value, one.why) == (None, why)


def test_figures_of_the_run_alone() -> None:
    cases = [score(2, 4), score(4, 4), score(0, 4), score(1, 1, 4), score(1, 1)]
    found = summary(
        score(llm_calls=7),
        by_case=cases,
        latency_ns={"p50": 5.0},
        unattributed=2,
        authority=Rulings(mode="enforce", decisions={"allow": 9, "deny": 1}),
    )
    one = whole(found)
    assert (one["flaky_rate"].value, one["flaky_rate"].missing) == (pytest.approx(1 / 3), 1)
    assert (one["denied_rate"].value, one["denied_rate"].n) == (0.1, 10)
    assert (one["unattributed"].value, one["p50(llm_latency)"].value) == (2.0, 5.0)
    assert one["p50(llm_latency)"].n == 7


def test_shadow_mode_denies_nothing_and_so_measures_nothing() -> None:
    shadow = summary(authority=Rulings(mode="shadow", decisions={"allow": 9}))
    assert whole(shadow)["denied_rate"].why == "in shadow mode nothing is denied"


def test_measures_of_checkers_have_the_names_and_units_of_gates() -> None:
    one = of_burst(pools(), updates(lost=2), requests(), checked("mine", {}, foo=3.0))
    values = {name: reading.value for name, reading in one.items()}
    wanted = {
        "p99(pool_wait)": 180e6,
        "p95(pool_wait:llm)": 180e6,
        "starvation": 0.0,
        "lost_updates": 2.0,
        "write_conflicts": 3.0,
        "tool_429_rate": 0.03,
        "amplification": 1.5,
        "amplification:tool.x": 1.5,
        "measure:foo": 3.0,
    }
    assert {name: values[name] for name in wanted} == wanted
    assert one["p99(pool_wait)"].scenario == "burst"
    assert (one["p99(pool_wait)"].n, one["p99(pool_wait)"].of) == (400, "short requests")


def test_what_a_scenario_hands_on_to_others_is_no_figure() -> None:
    handed = Checked("burst", "valid", measures={"alone:x": 1.0}, exposure={"trials": 1})
    signed = Checked("signature_drift", "valid", measures={"signature:a:b:c": 1.0})
    assert not [name for name in of_burst(handed, signed) if "alone" in name or "sign" in name]


@pytest.mark.parametrize(
    ("seen", "name", "why"),
    [
        (updates(contended=0), "lost_updates", "there were no contended keys"),
        (updates(contended=0), "write_conflicts", "there were no contended keys"),
        (pools(requests=0), "p99(pool_wait)", "there were no short requests"),
        (requests(tool=False), "tool_429_rate", "there were no tool requests"),
        (requests(llm=False), "llm_429_rate", "there were no model requests"),
        (leaks(probes=0), "leak_rate", "tenant_bleed says so"),
    ],
)
def test_a_checker_that_had_nothing_to_look_at_measured_nothing(
    seen: Checked, name: str, why: str
) -> None:
    one = of_burst(seen)[name]
    assert (one.value, one.why) == (None, why)


def test_what_was_found_was_measured() -> None:
    assert of_burst(updates(lost=1, contended=0))["lost_updates"].value == 1.0


def test_what_a_part_was_measured_over_is_not_known() -> None:
    one = of_burst(pools(), requests())
    parts = [one["p95(pool_wait:llm)"], one["amplification:llm"]]
    assert [(part.n, part.of) for part in parts] == [(0, ""), (0, "")]


@pytest.mark.parametrize(
    ("n", "things", "said"),
    [
        (2, "contended keys", "2 contended keys"),
        (1, "contended keys", "1 contended key"),
        (1, "cross tenant trials", "1 cross tenant trial"),
        (1, "cases with 4 measured trials", "1 case with 4 measured trials"),
        (1, "retries", "1 retry"),
        (1, "passes", "1 pass"),
        (1200, "hand offs", "1,200 hand offs"),
    ],
)
def test_one_of_them_is_one(n: int, things: str, said: str) -> None:
    assert counted(n, things) == said


def test_a_rate_of_requests_says_of_how_many() -> None:
    one = of_burst(requests())["tool_429_rate"]
    assert (one.value, one.n, one.of) == (0.03, 30, "tool requests")


@pytest.mark.parametrize(
    ("seen", "value", "hits", "of"),
    [
        (leaks(), 0.0, 0, "probes"),
        (leaks(leaked=4), 0.1, 4, "probes"),
        (leaks(leaked=4, leak_rate=0.5), 0.5, 30, "cross tenant trials"),
        (leaks(leaked=4, leak_rate=0.1), 0.1, 4, "probes"),
        (leaks(probes=0, leak_rate=0.0), 0.0, 0, "cross tenant trials"),
        (leaks(leak_rate=0.0, wrong_tenant_hit_rate=0.02), 0.02, 1, "shared hits"),
    ],
)
def test_the_leak_rate_is_the_worst_there_is(
    seen: Checked, value: float, hits: int, of: str
) -> None:
    one = of_burst(seen)["leak_rate"]
    assert (one.value, one.hits, one.of) == (value, hits, of)


@pytest.mark.parametrize(
    ("seen", "name", "doubt", "void"),
    [
        ([launch(), updates()], "lost_updates", False, False),
        ([launch(missed=1), updates()], "lost_updates", True, False),
        ([launch(missed=1), updates()], "accuracy", True, False),
        ([launch(missed=1)], "p99(lag)", False, False),
        ([launch(lag_ms=50), updates()], "lost_updates", False, False),
        ([launch(lag_ms=50), pools()], "p99(pool_wait)", True, True),
        ([launch(lag_ms=50), pools()], "p99(lag)", False, False),
        ([leaks(verdict="unknown")], "leak_rate", True, False),
        ([leaks(leaked=1, verdict="unknown")], "leak_rate", False, False),
    ],
)
def test_a_reading_knows_what_keeps_it_from_proving(
    seen: list[Checked], name: str, doubt: bool, void: bool
) -> None:
    one = of_burst(*seen)[name]
    assert (bool(one.doubt), bool(one.void)) == (doubt, void)


def test_a_scenario_that_was_cut_off_proves_nothing() -> None:
    cut = readings_of(summary(None, burst(updates(), complete=False)))["burst"]
    assert {one.void for one in cut.values()} == {"the scenario was cut off"}


def test_which_readings_a_gate_is_about() -> None:
    found = summary(
        None,
        scenario("sequential", checked("launch", {}), overall=score(9)),
        burst(updates(lost=1), pools()),
        scenario("ramp", updates(contended=0)),
    )
    found.scenarios[0].checked.append(updates(contended=0))  # which it is not about
    readings = readings_of(found)

    def scenarios(name: str, scenario: str = "") -> list[tuple[str, float | None]]:
        bare = name.partition("(")[2].rstrip(")") or name
        return [(one.scenario, one.value) for one in asked(readings, name, bare, scenario)]

    assert scenarios("accuracy") == [("", 0.8)]
    assert scenarios("accuracy", "sequential") == [("sequential", 0.9)]
    assert scenarios("lost_updates") == [("burst", 1.0), ("ramp", None)]
    assert scenarios("lost_updates", "sequential") == [("sequential", None)]
    assert scenarios("p99(pool_wait)") == [("burst", 180e6)]
    assert scenarios("lost_updates", "drain") == [("drain", None)]


@pytest.mark.parametrize(
    ("found", "name", "scenario", "why"),
    [
        (summary(), "accuracy", "burst", "the scenario burst did not run"),
        (summary(), "lost_updates", "", "it is measured in scenarios, and none ran"),
        (summary(None, burst()), "lost_updates", "", "nothing measured it"),
        (
            summary(None, burst(pools())),
            "p95(pool_wait:lm)",
            "",
            "nothing measured it; there is p95(pool_wait:llm)",
        ),
        (
            summary(None, burst(requests())),
            "amplification:api",
            "",
            "nothing measured it; there is amplification:llm, amplification:tool.x",
        ),
        (summary(), "pass_hat_9", "", "nothing measured it; there is pass_hat_k"),
    ],
)
def test_a_gate_on_nothing_says_what_there_is(
    found: Summary, name: str, scenario: str, why: str
) -> None:
    bare = name.partition("(")[2].rstrip(")") or name
    (one,) = asked(readings_of(found), name, bare, scenario)
    assert (one.value, one.why) == (None, why)


def test_figures_by_name_have_only_what_was_measured() -> None:
    found = figures_of(summary(score(usd_micro=10_000), burst(pools(), updates(contended=0))))
    assert found[""]["cost"] == 0.01
    assert found["burst"]["p99(pool_wait)"] == 180e6
    assert not {"lost_updates", "null_pass_rate", "p50(duration)"} & found["burst"].keys()
    assert all(value is not None for values in found.values() for value in values.values())


def test_the_figures_of_a_scenario_that_had_no_trial_are_not_those_of_the_run() -> None:
    found = readings_of(summary(score(), burst(overall=Score("burst"))))
    assert found["burst"]["accuracy"].value is None
    assert "llm_latency" not in found["burst"]


@pytest.mark.parametrize(
    ("given", "further", "ends"),
    [
        ({"hits": 8, "n": 10, "missing": 2}, 0, (8 / 12, 10 / 12)),
        ({"hits": 8, "n": 10}, 10, (0.4, 0.9)),
        ({"hits": 8, "n": 10}, 0, (0.8, 0.8)),
        ({"n": 10}, 5, (0.8, 0.8)),
    ],
)
def test_how_far_a_value_can_come(
    given: dict[str, Any], further: int, ends: tuple[float, float]
) -> None:
    assert Reading(name="x", value=0.8, **given).reach(further) == pytest.approx(ends)


def test_who_failed_is_evidence() -> None:
    cases = [score(n, 4) for n in (4, 0, 2, 3, 1, 3, 3, 3)]
    for place, case in enumerate(cases):
        case.name = f"c{place}"
    found = summary(score(19, 32, failures={"agent": 10, "timeout": 3}), by_case=cases)
    lines = evidence_of(whole(found)["accuracy"], found)
    assert lines == [
        "failures: 10 agent, 3 timeout",
        "c1: 0 of 4 passed",
        "c4: 1 of 4 passed",
        "c2: 2 of 4 passed",
        "c3: 3 of 4 passed",
        "c5: 3 of 4 passed",
        "and 2 more cases that failed",
    ]


def test_the_trials_of_findings_are_evidence() -> None:
    found = summary(None, burst(updates(lost=7)))
    lines = evidence_of(readings_of(found)["burst"]["lost_updates"], found)
    assert lines[0] == "lost_update (a:0, b:0): key 0 was lost"
    assert lines[-1] == "and 2 more findings of lost_update"
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("requests", "lines"),
    [
        (
            20,
            [
                "p99 of 20 short requests is not known: it takes 299; the slowest of 20 bounds no "
                "more than p86 (95 %)"
            ],
        ),
        (298, 1),
        (299, []),
    ],
)
def test_a_quantile_of_few_is_not_known(requests: int, lines: list[str] | int) -> None:
    found = summary(None, burst(pools(requests)))
    told = evidence_of(readings_of(found)["burst"]["p99(pool_wait)"], found)
    assert (len(told) if isinstance(lines, int) else told) == lines


def test_what_was_not_measured_has_no_evidence() -> None:
    found = summary(score(0, 3), by_case=[score(0, 3)])
    nothing = Reading(name="accuracy", scenario="drain", figure=FIGURES["accuracy"])
    assert evidence_of(nothing, found) == []
