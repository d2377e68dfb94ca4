"""Scenarios in, what is shown of them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from contention_report_runs import a_contended_run, a_sound_run
from proofrig.checkers.checker import Checked, Evidence, Finding
from proofrig.reports import contention
from proofrig.reports.report import RunReport
from proofrig.results import ScenarioResult, Score
from report_runs import a_run


@pytest.fixture
def report(tmp_path: Path) -> RunReport:
    return a_contended_run(tmp_path).report(0)


def scenario(*checked: Checked, needs: tuple[str, ...] = (), **settings: object) -> ScenarioResult:
    return ScenarioResult("x", "unknown", Score("x"), list(checked), list(needs), settings)


def test_kinds_come_worst_first_and_findings_are_numbered_through_the_run(
    report: RunReport,
) -> None:
    kinds = contention.kinds_of(report)
    assert [(kind.title, kind.count, kind.scenarios) for kind in kinds] == [
        ("Cross tenant leak", "3", ["tenant_probe"]),
        ("Lost update", "14", ["interleaved"]),
        ("Pool starvation", "1", ["long_stream"]),
        ("Retry storm", "1", ["burst"]),
    ]
    shown = [one for kind in kinds for one in kind.shown]
    assert [one.number for one in shown] == list(range(1, len(shown) + 1))
    begun = {scene.name: scene.begin_ns for scene in report.scenes}
    assert {one.began_ns for one in kinds[1].shown} == {begun["interleaved"]}


def test_what_was_found_beyond_the_kept_findings_is_counted_or_bounded(report: RunReport) -> None:
    checked = report.summary.scenarios[2].checked[0]
    checked.found += 100
    assert contention.kinds_of(report)[1].count == "114"
    checked.findings.append(Finding("torn_write", "half of it"))
    counts = {kind.name: kind.count for kind in contention.kinds_of(report)}
    assert (counts["lost_update"], counts["torn_write"]) == ("at least 11", "at least 1")
    checked.kinds = {"lost_update": 107, "torn_write": checked.found - 107}
    counts = {kind.name: kind.count for kind in contention.kinds_of(report)}
    assert (counts["lost_update"], counts["torn_write"]) == ("107", str(checked.found - 107))


def test_the_headline_names_the_worst_kind_and_doubts_and_soundness(
    report: RunReport, tmp_path: Path
) -> None:
    assert contention.headline(report) == (
        "19 findings in 4 of 5 scenarios, the worst: cross tenant leak in tenant_probe"
    )
    sound = a_sound_run(tmp_path / "sound").report(0)
    assert contention.headline(sound) == "no findings, but drain could not be told"
    sound.summary.scenarios.pop()
    assert contention.headline(sound) == "no findings in 1 scenario"
    assert contention.headline(a_run(tmp_path / "plain").report(0)) == ""


def test_long_evidence_keeps_its_beginning_and_its_end() -> None:
    witness = tuple(Evidence(n, "kv.put", str(n)) for n in range(9))
    shown = contention.Shown(1, "x", "c", Finding("k", "s", witness), 0)
    assert [one and one.t for one in shown.witness(4)] == [0, 1, None, 7, 8]
    assert [one and one.t for one in shown.witness(3)] == [0, 1, None, 8]
    assert len(shown.witness(9)) == 9


def test_checkers_tell_or_are_in_doubt_with_the_launch_or_were_not_exercised() -> None:
    valid, idle = Checked("a", "valid"), Checked("b", "unknown", "nothing was seen")
    needed, bad = Checked("c", "unknown"), Checked("d", "invalid")
    launch = Checked("launch", "unknown", "the spread was missed")
    doubt = Checked("e", "unknown", "none in 9 reads; but the spread was missed")
    found = contention.told_by(
        scenario(valid, idle, needed, bad, launch, doubt, needs=("c", "launch"))
    )
    assert [one.checker for one in found.told] == ["d", "c", "launch", "a"]
    assert [one.checker for one in found.doubted] == ["e"]
    assert [one.checker for one in found.idle] == ["b"]


def test_the_zero_of_a_checker_that_looked_at_nothing_is_no_measurement() -> None:
    blind = Checked("a", "unknown", exposure={"reads": 0}, measures={"lost_updates": 0.0, "x": 2.0})
    seen = Checked("b", "unknown", exposure={"calls": 3}, measures={"tool_429_rate": 0.0})
    other = Checked("c", "valid", measures={"starvation_ratio": 0.9})
    pool = Checked("pool_starvation", "valid", measures={"starvation_ratio": 0.1})
    assert contention.figures_of(scenario(blind, seen, pool, other)) == {
        "x": 2.0,
        "tool_429_rate": 0.0,
        "starvation_ratio": 0.1,
    }


def test_what_was_looked_at_is_counted_in_words() -> None:
    one = Checked("a", "valid", exposure={"reads": 1_200, "key_writes": 4})
    assert contention.exposure(one) == "1,200 reads, 4 key writes"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tool_429_rate", 0.125, "12.5 %"),
        ("pool_wait_p99_ms", 1_750.0, "1.75 s"),
        ("retry_amplification", 2.345, "2.35×"),
        ("starvation_ratio", 0.5, "50.0 %"),
        ("lost_updates", 14.0, "14"),
        ("fairness_jain", 1.0, "1.00"),
        ("deadlocks", None, "not measured"),
    ],
)
def test_figures_are_in_the_unit_of_their_name(name: str, value: float | None, said: str) -> None:
    assert contention.figure(name, value) == said


def test_accuracy_is_compared_with_the_sequential_scenario(report: RunReport) -> None:
    sequential = contention.sequential_of(report)
    assert sequential is not None
    changes = [
        contention.points(contention.difference(one, sequential))
        for one in report.summary.scenarios
    ]
    assert changes == ["–", "+8.3 points", "−16.7 points", "−25.0 points", "−4.2 points"]
    assert contention.difference(report.summary.scenarios[1], None) is None


def test_the_headline_figure_is_the_one_that_moved_most(report: RunReport) -> None:
    sequential, _, interleaved, burst, _ = report.summary.scenarios
    said = contention.highlight(burst, sequential)
    assert said == "Tool calls answered 429: 57.1 % (sequential 0.0 %)"
    assert contention.highlight(interleaved, sequential) == "Lost updates: 14"
    assert contention.highlight(sequential, sequential) == ""


def test_a_pass_is_told_by_what_its_main_checker_looked_at(report: RunReport) -> None:
    launch, main = Checked("launch", "valid", "in 3 ms"), Checked("burst", "valid", "60 trials")
    one = scenario(launch, main, needs=("launch", "burst"))
    one.verdict = "valid"
    assert contention.essence(one, None) == "60 trials"
    main.says = f"60 trials, 0 failed; p99 2 ms; {'long ' * 20}"
    assert contention.essence(one, None) == "60 trials, 0 failed; p99 2 ms"
    one.needs = ["launch"]
    assert contention.essence(one, None) == ""
    sequential, _, interleaved, *_ = report.summary.scenarios
    assert contention.essence(interleaved, sequential) == "Lost updates: 14"


def test_the_sequential_scenario_is_the_baseline_unless_something_was_found(
    report: RunReport,
) -> None:
    words = [contention.word_of(one) for one in report.summary.scenarios]
    assert words == ["baseline", "failed", "failed", "failed", "failed"]
    report.summary.scenarios[0].verdict = "invalid"
    assert contention.word_of(report.summary.scenarios[0]) == "failed"


def test_caps_come_nearest_first(report: RunReport) -> None:
    caps = contention.caps_of(report.summary.scenarios)
    assert [(cap.name, cap.scenario, cap.share) for cap in caps[:3]] == [
        ("httpx:1.max_connections", "long_stream", 1.0),
        ("search.rate", "burst", 1.0),
        ("httpx:1.max_connections", "burst", 0.8),
    ]


def test_agents_and_tenants_come_from_the_settings() -> None:
    one = scenario(agents=50, tenants={"a": 1, "b": 2})
    assert (contention.agents_of(one), contention.tenants_of(one)) == (50, 2)
    assert (contention.agents_of(scenario()), contention.tenants_of(scenario())) == (0, 0)
