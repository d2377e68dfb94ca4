"""Repeats are added while they decide something, on one stage, and no further."""

from __future__ import annotations

from pathlib import Path

import pytest

from end_to_end.suites import case, ends, options, run_suite, write_suite
from proofrig.errors import UsageError
from proofrig.evaluation import resume
from proofrig.history.history import History
from proofrig.trials.curtailed import Curtailed, curtailed

RIGHT, WRONG = case("a"), case("b", verify=[{"type": "exact", "value": "43"}])


def ended(run_dir: Path) -> Curtailed:
    return curtailed(History(run_dir).entries())


def repeats(run_dir: Path) -> list[int]:
    """The repeats that were run of each case."""
    return [sum(trial.startswith(f"{one}:") for trial in ends(run_dir)) for one in ("a", "b")]


@pytest.mark.parametrize(
    ("second", "fail_under", "look", "code"),
    [
        (case("b"), 25, 2, 0),  # 4 of at most 16 passed, whatever comes
        (WRONG, 95, 1, 1),  # one failed, and of 16 that is too much
    ],
    ids=["pass", "fail"],
)
async def test_a_gate_ends_the_run_at_the_look_that_settles_it(
    tmp_path: Path, second: dict[str, object], fail_under: float, look: int, code: int
) -> None:
    suite = write_suite(tmp_path / "suite", [RIGHT, second])
    run_dir, conclusion = await run_suite(
        suite, tmp_path, auto=True, fail_under=fail_under, baselines=False
    )
    settled = ended(run_dir).settled
    assert settled is not None
    assert settled.look == look
    assert repeats(run_dir) == [2 ** (look - 1)] * 2
    segments = [path.name for path in (run_dir / "history").glob("rig-*.jsonl*")]
    assert len(segments) == 1
    assert conclusion.exit_code == code
    assert conclusion.status == "finished"
    if look == 2:
        again = await resume(suite, run_dir, options(tmp_path))
        assert repeats(run_dir) == [2, 2]
        assert again.exit_code == code


async def test_its_repeats_are_the_most_and_its_money_holds(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [RIGHT, WRONG], repeats=3)
    run_dir, conclusion = await run_suite(
        suite, tmp_path, auto=True, fail_under=50, baselines=False, usd=0.000062
    )
    found = ended(run_dir)
    assert found.settled is None
    [cut] = found.cuts
    assert (cut.reason, cut.planned) == ("usd", 6)
    assert cut.count == 6 - conclusion.summary.overall.trials > 0
    assert {*cut.trials} | {*ends(run_dir)} == {f"{one}:{n}" for one in "ab" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "needs a gate or a baseline"),
        ({"fail_under": 50, "scenarios": ("burst",)}, "belongs to a plain run"),
    ],
    ids=["nothing", "scenarios"],
)
async def test_without_anything_to_decide_nothing_is_run(
    tmp_path: Path, asked: dict[str, object], says: str
) -> None:
    suite = write_suite(tmp_path / "suite", [RIGHT])
    with pytest.raises(UsageError, match=says):
        await run_suite(suite, tmp_path, auto=True, **asked)
    assert not (tmp_path / "kept").exists()


async def test_a_gate_that_failed_for_good_ends_the_run(tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path / "suite",
        [WRONG],
        repeats=100,
        concurrency=2,
        gates=[{"check": "accuracy >= 90 %", "abort_on_fail": True}],
    )
    run_dir, conclusion = await run_suite(suite, tmp_path, baselines=False)
    [cut] = ended(run_dir).cuts
    assert (cut.reason, cut.planned) == ("gate", 100)
    assert cut.count == 100 - conclusion.summary.overall.trials
    assert cut.why.startswith("accuracy >= 90 % has failed for good: ")
    assert (conclusion.status, conclusion.exit_code) == ("finished", 1)


async def test_a_baseline_ends_the_run_at_the_look_that_decides_it(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")], baseline={"margin": 0.7})
    base, _ = await run_suite(suite, tmp_path, repeats=8, baselines=False)
    for answer, verdict, code in (("42", "no worse", 0), ("43", "regressed", 1)):
        with (suite.dir / "e2e_agent.py").open("a") as agent:
            agent.write(f"\ndef solve(task):\n    return {answer!r}\n")
        run_dir, conclusion = await run_suite(
            suite, tmp_path, auto=True, baselines=False, baseline=base.name
        )
        settled, comparison = ended(run_dir).settled, conclusion.comparison
        assert settled is not None
        assert comparison is not None
        assert comparison.verdict == verdict
        assert settled.why.startswith(f"{verdict}: ")
        assert repeats(run_dir) == [settled.repeats] * 2
        assert settled.repeats < 8
        assert comparison.terms.alpha < 0.05
        assert conclusion.exit_code == code
