"""Budgets of a whole run are kept, and what they cut is said and stays cut."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from end_to_end.suites import case, ends, options, run_suite, write_suite
from proofrig.errors import UsageError
from proofrig.evaluation import resume
from proofrig.history.history import History
from proofrig.trials import manifest as manifests
from proofrig.trials.curtailed import Cut, curtailed

CENT = 0.01
CALL = 4e-6  # what a trial of these suites costs, dollars; its call holds up to 0.02


def cuts(run_dir: Path) -> tuple[Cut, ...]:
    return curtailed(History(run_dir).entries()).cuts


def spent(run_dir: Path) -> float:
    entries = [entry for entry in History(run_dir).entries() if entry.kind == "commit"]
    return sum(entry.attrs["actual"].get("usd_micro", 0) for entry in entries) / 1e6


async def test_what_is_enough_cuts_nothing_of_the_plan_and_of_the_scenarios(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")], scenarios={"burst": {}})
    staged = {"scenarios": ("burst",), "agents": 2, "plain": True}
    run_dir, conclusion = await run_suite(
        suite, tmp_path, **staged, repeats=2, baselines=False, usd=10 * CENT, minutes=5
    )
    assert {*ends(run_dir)} == {"a:1", "b:1", "a:2", "b:2", "a@burst:1", "b@burst:2"}
    assert [scenario.complete for scenario in conclusion.summary.scenarios] == [True]
    assert conclusion.summary.overall.passed == 6
    assert cuts(run_dir) == ()


async def test_a_lane_of_the_suite_says_how_it_is_run(tmp_path: Path) -> None:
    pr = {"repeats": 2, "tags": ["smoke"], "usd": 16 * CENT, "minutes": 5, "baselines": False}
    cases = [case("a", tags=["smoke"]), case("b")]
    suite = write_suite(tmp_path / "suite", cases, lanes={"pr": pr | {"gates": ["accuracy >= 1"]}})
    run_dir, conclusion = await run_suite(suite, tmp_path, lane="pr")
    assert {*ends(run_dir)} == {"a:1", "a:2"}
    assert [gate.state for gate in conclusion.gates] == ["pass"]
    manifest = manifests.read(run_dir)
    assert (manifest.lane, manifest.usd, manifest.minutes) == ("pr", 16 * CENT, 5)
    with pytest.raises(UsageError, match="there is no lane 'night'"):
        await run_suite(suite, tmp_path, lane="night")


async def test_a_lane_with_scenarios_records_nothing(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")], lanes={"load": {"scenarios": ["burst"]}})
    with pytest.raises(UsageError, match="a plain run, and lane load has scenarios"):
        await run_suite(suite, tmp_path, lane="load", record=True)
    assert not (tmp_path / "kept").exists()


async def test_money_is_kept_and_what_it_cuts_has_neither_passed_nor_failed(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")], repeats=10, concurrency=4)
    run_dir, conclusion = await run_suite(suite, tmp_path, usd=16 * CALL)
    overall = conclusion.summary.overall
    assert 0 < overall.trials == overall.passed < 20
    assert not overall.failures
    assert spent(run_dir) <= 16 * CALL
    done = Counter(trial.partition(":")[0] for trial in ends(run_dir) if "null" not in trial)
    assert abs(done["a"] - done["b"]) <= 1
    [cut] = cuts(run_dir)
    assert (cut.reason, cut.count, cut.planned) == ("usd", 20 - overall.trials, 20)
    assert cut.says.startswith(
        f"{cut.count} of 20 trials, the money budget of 0.000064 USD was reached: "
    )
    assert not {*cut.trials} & {*ends(run_dir)}
    assert conclusion.status == "finished"

    again = await resume(suite, run_dir, options(tmp_path))
    assert again.summary.overall.trials == overall.trials
    assert cuts(run_dir) == (cut,)


async def test_a_trial_that_the_whole_runs_money_stops_did_not_fail(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")])
    run_dir, conclusion = await run_suite(suite, tmp_path, usd=2 * CALL)
    assert conclusion.summary.overall.trials == 0
    assert not conclusion.summary.overall.failures
    assert conclusion.exit_code == 6
    [cut] = cuts(run_dir)
    assert set(cut.trials) == {"a:1", "b:1"}
    assert "what is left does not cover a call" in cut.says


async def test_cases_that_were_not_run_cannot_pass(tmp_path: Path) -> None:
    cases = [case(f"c{number}") for number in range(9)]
    suite = write_suite(tmp_path / "suite", cases, gates=["accuracy >= 50 %"])
    _, conclusion = await run_suite(suite, tmp_path, baselines=False, usd=16 * CALL)
    ran = conclusion.summary.overall.trials
    assert 0 < ran < 9
    assert [gate.state for gate in conclusion.gates] == ["pass"]
    assert conclusion.cuts[1:] == [f"cut: {9 - ran} of 9 cases were not run at all"]
    assert conclusion.exit_code == 4


async def test_one_that_its_own_budget_stops_did(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")], budgets={"run": {"calls": 0}})
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False, usd=CENT)
    assert conclusion.summary.overall.failures == {"limit": 1}
    assert cuts(run_dir) == ()


async def test_at_the_end_of_its_time_what_runs_is_cancelled(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [case("quick"), case("hang", "hang")],
        agent={"type": "python", "target": "e2e_agent:behave"},
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False, minutes=3 / 60)
    [cut] = cuts(run_dir)
    assert cut.reason == "minutes"
    assert "hang:1" in cut.trials
    assert {*ends(run_dir)} | {*cut.trials} == {"quick:1", "hang:1"}
    assert conclusion.status == "finished"
    again = await resume(suite, run_dir, options(tmp_path))
    assert again.summary.overall.trials == conclusion.summary.overall.trials


async def test_a_scenario_begins_only_when_all_of_it_is_covered(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite", [case("a"), case("b")], scenarios={"burst": {"agents": 3}}
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, scenarios=("all",), usd=30 * CALL)
    [scenario] = conclusion.summary.scenarios
    assert (scenario.name, scenario.complete) == ("sequential", True)
    [cut] = cuts(run_dir)
    assert (cut.scenarios, cut.count, cut.planned) == (("burst",), 3, 5)
    assert conclusion.exit_code == 4  # what did not run has not passed
    again = await resume(suite, run_dir, options(tmp_path))
    assert again.summary.overall.trials == conclusion.summary.overall.trials == 2
