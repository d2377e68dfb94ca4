"""The page: self-contained, safe, small, honest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from authority_report_runs import a_ruled_run
from compared_report_runs import EVERY, a_compared_run
from contention_report_runs import a_contended_run, a_sound_run
from html_page import EVIL, Page
from proofrig.checkers.checker import Evidence, Finding
from proofrig.comparisons.gate import GateResult
from proofrig.reports.html import render
from proofrig.results import CaseFacts
from report_runs import MS, Recorder, a_run, a_trend


@pytest.fixture
def text(tmp_path: Path) -> str:
    report = a_run(tmp_path).report(
        1, fail_under=85, trend=a_trend([0.6, 0.7]), problems=["a torn line"]
    )
    return render(report).decode()


def test_the_verdict_is_the_first_thing_on_the_page(text: str) -> None:
    page = Page(text)
    words = [word.strip() for word in page.words if word.strip()]
    assert words.index("Failed") < words.index("Pass rate") < words.index("Cases")
    assert "pass rate >= 85 %" in page
    assert "35 of 48 measured trials passed" in page


def test_baselines_intervals_repeats_and_problems_are_on_it(text: str) -> None:
    page = Page(text)
    for said in (
        "95 % interval 54.5 % to 85.8 %",
        "Null agent 1 of 12 (8.3 %)",
        "Reference 12 of 12 (100.0 %)",
        "pass^4 41.7 %",
        "a torn line",
        "simulated · models.py:desk",
    ):
        assert said in page


def test_lines_without_a_scenario_are_not_measured_and_never_zero(text: str) -> None:
    assert text.count("not measured yet in this run: no contention scenario ran") == 3 * 2


def test_the_page_fetches_nothing(text: str) -> None:
    page = Page(text)
    for tag, attrs in page.tags:
        assert tag not in ("link", "img", "iframe", "base", "object", "embed"), tag
        assert not attrs.get("src"), tag
        assert (attrs.get("href") or "#").startswith("#"), tag
    assert "url(" not in text and "@import" not in text
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|innerHTML|outerHTML|eval)\b", text)
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in page.tags)


def test_text_of_an_agent_is_only_ever_text(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    verdict = {"verifier": EVIL, "passed": False, "expected": EVIL, "got": EVIL}
    facts = CaseFacts(EVIL, EVIL, (EVIL,))
    with run.trial(EVIL, 1, "agent", verdicts=[verdict], answer=EVIL, facts=facts) as trial:
        trial.llm(EVIL, [(EVIL, EVIL)], asked=EVIL)
        trial.tool(EVIL, EVIL, EVIL)
    report = run.report(1, fail_under=50, problems=[EVIL])
    report.manifest["suite"] = EVIL
    text = render(report).decode()
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert data["cases"][0]["id"] == EVIL


def test_a_thousand_trials_take_less_than_a_megabyte(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    for number in range(1_000):
        failure = "agent" if number % 3 == 0 else ""
        verdict = {
            "verifier": "exact",
            "passed": not failure,
            "message": "m" * 400,
            "got": "g" * 200,
        }
        at = {"at": number * 20 * MS, "verdicts": [verdict]}
        with run.trial(f"case_{number // 4}", number % 4 + 1, failure, **at) as trial:
            trial.llm(
                f"<thought {number}> " * 60, [("lookup", {"q": "z" * 300})], asked="q" * 3_000
            )
            trial.tool("lookup", {"q": "z" * 300}, "<row> " * 1_000)
            trial.llm(f"answer {number} " * 60, asked="<row> " * 1_000)
    page = render(run.report(1, fail_under=90))
    assert 500_000 < len(page) < 1_000_000
    assert re.search(rb"Traces: \d+ of 1,000 trials, failed ones first", page)


def test_a_run_in_which_nothing_ran_is_a_page_too(tmp_path: Path) -> None:
    page = Page(render(Recorder(tmp_path).report(5)).decode())
    assert "Nothing ran" in page
    assert "not measured" in page


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def contended(run_dir: Path, **more: Any) -> str:
    return render(a_contended_run(run_dir, **more).report(0)).decode()


def test_findings_stand_before_the_score_and_the_worst_is_named(tmp_path: Path) -> None:
    page = Page(contended(tmp_path))
    words = [" ".join(word.split()) for word in page.words if word.strip()]
    order = ("19 findings", "Contention", "Findings", "What was checked", "Contention metrics")
    places = [words.index(word) for word in (*order, "Pass rate")]
    assert places == sorted(places)
    assert "in 4 of 5 scenarios, the worst: cross tenant leak in tenant_probe" in page


def test_scenarios_stand_beside_the_sequential_one(tmp_path: Path) -> None:
    page = Page(contended(tmp_path))
    beside = "75.0 % 25.6 to 96.3 % 91.7 % 63.2 to 98.6 % −16.7 points"
    assert f"interleaved failed 14 findings 24 3 {beside}" in page


def test_evidence_links_to_its_action_in_the_trace(tmp_path: Path) -> None:
    text = contended(tmp_path)
    page, data = Page(text), data_of(text)
    links = [attrs for _, attrs in page.tags if attrs.get("data-action")]
    assert len(links) > 20
    for link in links:
        trace = data["traces"][link["data-trial"]]
        assert link["data-action"] in [step.get("id") for step in trace["steps"]]
    numbers = {attrs["id"] for tag, attrs in page.tags if attrs.get("class") == "finding"}
    assert {f"finding-{number}" for _, _, number, _ in data["flags"]} == numbers
    command = "--scenario interleaved --agents 24 --tenants 3 --seed 7"
    assert command in page and command in data["scenes"][2][4]


def test_advice_stands_once_under_the_heading_of_its_kind(tmp_path: Path) -> None:
    text = contended(tmp_path)
    page = Page(text)
    said = " ".join(" ".join(page.words).split())
    assert said.count("What to do") == 2
    assert "14 found in interleaved What to do Use compare-and-set, an atomic increment" in said
    assert '<code class="mono">partition: tenant</code>' in text


def test_the_baseline_has_no_tick(tmp_path: Path) -> None:
    text = contended(tmp_path)
    assert '<td data-label="verdict"><span class="v-baseline">baseline</span>' in text
    assert [scene[3] for scene in data_of(text)["scenes"]] == ["baseline", *["invalid"] * 4]


def test_a_cap_that_is_near_is_amber_and_none_is_red(tmp_path: Path) -> None:
    found = re.search(r'<ul class="caps">(.*?)</ul>', contended(tmp_path), re.DOTALL)
    assert found is not None
    assert re.findall(r'class="(near|used|full|v-invalid|v-unknown)"', found[1]) == (
        ["near", "v-unknown"] * 2 + ["near", "used", "used"]
    )


def test_the_trials_of_all_findings_that_were_kept_are_named(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path).report(0)
    many = [Finding("lost_update", "s", (Evidence(1, "x", "x", "x", f"t{n}"),)) for n in range(20)]
    report.summary.scenarios[2].checked[0].findings = many
    data = data_of(render(report).decode())
    assert {f"t{n}" for n in range(20)} < set(data["named"])
    assert data["trials"][0][0] not in data["named"]


def test_what_was_not_exercised_or_not_measured_is_said(tmp_path: Path) -> None:
    page = Page(contended(tmp_path))
    assert "Not exercised: 2" in page
    assert "lost_update: no updates were seen, so nothing can be said" in page
    assert "24 updates, 1 keys" in page
    assert "Stale results accepted" + " not measured" * 5 in page
    assert "Tool calls answered 429 0.0 % not measured not measured 57.1 % not measured" in page
    assert "httpx:1.max_connections long_stream 100.0 % reached" in page
    sound = Page(render(a_sound_run(tmp_path / "sound").report(0)).decode())
    assert "no findings, but drain could not be told" in sound


def test_a_run_without_scenarios_has_nothing_of_them(text: str) -> None:
    page = Page(text)
    assert not [tag for tag, attrs in page.tags if attrs.get("class") in ("contention", "finding")]
    assert "m-flag" not in text and ".finding" not in text.partition("</style>")[0]
    assert data_of(text)["scenes"] == [] and "Contention metrics" not in page


def test_the_authority_has_its_section_with_links_into_traces(tmp_path: Path) -> None:
    text = render(a_ruled_run(tmp_path / "runs" / "r").report(0)).decode()
    page = Page(text)
    for said in (
        "81 allowed 3 asked 9 denied of 93 actions",
        "98.9 % of 94 known actions came to the authority; not: 1 request of no trial",
        "rule tests-are-read-only",
        "The agent reads: change the code, not the tests",
        "1 approved, 1 refused, 1 not answered in time; 40.0 ms on average",
        "partial 3 $0.0018",
        "unknown outcome 3 $0.0018",
        "Price: sim-1: invented for tests, 2026-01-01",
        "10 of 10 calls",
        "Repeat stopped",
    ):
        assert said in page, said
    opened = {attrs.get("data-trial") for _, attrs in page.tags if attrs.get("data-action")}
    assert opened >= {"coding:1", "refund:1", "research:1"}
    steps = data_of(text)["traces"]["coding:1"]["steps"]
    assert [step["id"] for step in steps if step.get("outcome") == "denied"] == ["coding:1/2"]


def test_shadow_mode_says_what_would_have_been_blocked(tmp_path: Path) -> None:
    page = Page(render(a_ruled_run(tmp_path, "shadow").report(0)).decode())
    assert "12 of 96 actions would have been blocked: $0.0018" in page
    assert "shadow mode: nothing was refused" in page
    assert "would be denied rule tests-are-read-only" in page


def test_a_run_without_a_policy_and_without_a_denial_has_nothing_of_it(tmp_path: Path) -> None:
    text = render(a_run(tmp_path, cases=0).report(0)).decode()
    assert "Authority" not in text and ".shadowed" not in text


def test_names_of_rules_and_actions_are_only_ever_text(tmp_path: Path) -> None:
    run = Recorder(tmp_path)
    with run.trial("a") as trial:
        told = {"decision": "deny", "rule": EVIL, "code": EVIL, "at": EVIL, "fix": EVIL}
        trial.tool(EVIL, {}, "", reserve=told)
        attrs = {"kind": EVIL, "step": "stop", "says": EVIL}
        run.write(trial.t, "note", "anomaly", trial=trial.name, attrs=attrs)
    page = Page(render(run.report(0)).decode())
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)


def test_text_of_a_checker_is_only_ever_text(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path).report(0)
    for one in report.summary.scenarios[1].checked:
        one.says = EVIL
        one.findings = [
            Finding(EVIL, EVIL, (Evidence(1, EVIL, EVIL, EVIL, EVIL, EVIL),)) for _ in one.findings
        ]
    page = Page(render(report).decode())
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)


def test_a_thousand_agents_stay_within_a_megabyte_per_thousand_trials(tmp_path: Path) -> None:
    report = a_contended_run(tmp_path, agents=500).report(0)
    assert len(report.rows) > 2_000
    assert len(render(report)) < 1_000_000 * len(report.rows) // 1_000


def compared(run_dir: Path, name: str, **more: Any) -> str:
    return render(a_compared_run(run_dir, EVERY[name](), **more)).decode()


def test_a_comparison_stands_high_up_with_its_verdict_first(tmp_path: Path) -> None:
    page = Page(compared(tmp_path, "regressed"))
    words = [" ".join(word.split()) for word in page.words if word.strip()]
    order = ("Regressed", "Against main", "What decides", "Cases that changed", "Pass rate")
    places = [words.index(word) for word in order[:-1]]
    assert places == sorted(places)
    for said in (
        "pass rate 72.9 %, was 85.0 %: 12.1 points less (5.2 to 18.9); 2 cases broke",
        "Pass rate 85.0 % 72.9 % −12.1 points −18.9 to −5.2 points",
        "Cost of a trial $0.000652 $0.000730 +$0.0000784 (+12.0 %) +3.2 to +21.3 %",
        "Broken proved refund_07 19/20 0/4 p < 0.001",
        "New tool issue_voucher is called in 14 of 48 trials",
        "exchange_04 and 1 more",
        "Where the manifests differ: 2",
        "Cases left out of the comparison: 2",
        "a drop of 8.1 points is seen 80 % of the time",
    ):
        assert said in page, said


def test_every_effect_is_drawn_and_said_to_those_who_do_not_see(tmp_path: Path) -> None:
    page = Page(compared(tmp_path, "regressed"))
    drawn = [attrs for tag, attrs in page.tags if (attrs.get("class") or "").startswith("whisker")]
    assert len(drawn) == 10  # of twelve, one has no base and one is not measured now
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)
    assert [attrs["class"] for attrs in drawn].count("whisker bare") == 2
    assert drawn[0]["class"] == "whisker bad"
    assert drawn[0]["aria-label"] == "−12.1 points, interval −18.9 to −5.2 points"


def test_cases_that_are_in_the_run_link_to_their_row(tmp_path: Path) -> None:
    text = compared(tmp_path, "regressed")
    page, cases = Page(text), {case["id"] for case in data_of(text)["cases"]}
    links = [attrs["data-case"] for _, attrs in page.tags if "data-case" in attrs]
    assert {"refund_07", "address_change_08", "two_orders_05"} <= set(links) <= cases
    assert all(attrs["href"] == "#h-cases" for _, attrs in page.tags if "data-case" in attrs)
    assert "a_case_that_is_gone" in page and "a_case_that_is_gone" not in links


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_comparison_is_a_sound_page(tmp_path: Path, name: str) -> None:
    text = compared(tmp_path, name)
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in page.tags)
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert len(text) < 1_000_000


def test_what_it_would_take_is_said_where_it_is_open(tmp_path: Path) -> None:
    page = Page(compared(tmp_path, "inconclusive"))
    assert "To decide it 8 more repeats of each case would decide it." in page


def test_a_comparison_of_200_metrics_shows_what_changed_and_folds_the_rest(tmp_path: Path) -> None:
    text = compared(tmp_path, "vast")
    page = Page(text)
    assert "No change proved: 66 metrics" in page
    assert "and 4 more metrics: proofrig show" in page
    shown = text.partition('<details class="quietly">')[0]
    assert shown.count('<svg class="whisker') == 5 + 60 + 60


def test_gates_stand_in_the_head_failed_ones_first(tmp_path: Path) -> None:
    gates = [
        GateResult("accuracy >= 70 %", "pass", "fine", figure="accuracy", value=0.729, bound=0.7),
        GateResult("leak_rate == 0", "fail", "3.1 %", figure="leak_rate", value=0.031, bound=0.0),
        GateResult("regression: accuracy", "inconclusive", "too few", evidence=["4 more repeats"]),
    ]
    page = Page(compared(tmp_path, "inconclusive", gates=gates))
    for said in (
        "leak_rate == 0 failed 3.1 % 0.0 % 3.1 % regression: accuracy inconclusive",
        "too few 4 more repeats accuracy >= 70 % passed 72.9 % 70.0 % fine",
    ):
        assert said in page, said
    assert sum((attrs.get("class") or "") == "limit" for _, attrs in page.tags) == 2


def test_a_run_without_a_baseline_has_nothing_of_it(text: str) -> None:
    page = Page(text)
    assert "Against" not in page and ".whisker" not in text.partition("</style>")[0]


def test_flaky_cases_are_named_apart(text: str) -> None:
    page = Page(text)
    assert "flaky 7 of 12 cases passed in some repeats and failed in others" in page
    assert "angry_customer_12 1/4 order_status_09 1/4" in page
