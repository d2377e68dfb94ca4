"""`proofrig baseline`: set, list, show and export, on runs as they lie on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from proofrig.baselining import SUMMARY, write_sample
from proofrig.cli.main import cli
from proofrig.comparisons.baseline import read_file
from proofrig.comparisons.comparison import Comparison
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.errors import UsageError
from proofrig.results import Score, Summary
from proofrig.trials import manifest as manifests
from proofrig.trials.manifest import Manifest

Typed = Any


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROOFRIG_ROOT", str(tmp_path / "kept"))

    def typed(*words: str) -> Result:
        return CliRunner().invoke(cli, ["baseline", *words], standalone_mode=False)

    return typed


def a_run(root: Path, run: str, *, passed: int = 3, suite: str = "desk", **more: Any) -> Path:
    """A finished run of four trials; `status`, `verdict`, and fields of its sample."""
    run_dir = root / "kept" / "runs" / run
    run_dir.mkdir(parents=True)
    manifests.write(
        run_dir,
        Manifest(
            run=run,
            started_ns=1,
            suite=suite,
            suite_path=str(root / "gone.yaml"),
            repeats=4,
            concurrency=1,
            seed=0,
        ),
    )
    came = {"status": more.pop("status", "finished"), "summary": Summary(overall=Score("all"))}
    if verdict := more.pop("verdict", ""):
        came["comparison"] = Comparison(run=run, base="main", verdict=verdict, says="")
    (run_dir / SUMMARY).write_bytes(msgspec.json.encode(came))
    trials = [TrialSample(case="a", repeat=n, passed=n <= passed) for n in (1, 2, 3, 4)]
    fields = {"suite": suite, "suite_digest": "d1", "trials": trials, "cases": {"a": "1"}} | more
    write_sample(run_dir, Sample(runs=[run], **fields))
    return run_dir


def lines(done: Result) -> list[str]:
    assert done.exception is None, done.exception
    return [" ".join(line.split()) for line in done.output.splitlines()]


def refused(done: Result) -> str:
    assert isinstance(done.exception, UsageError), done.output
    return str(done.exception)


def test_a_run_that_was_set_is_listed_shown_and_exported(typed: Typed, tmp_path: Path) -> None:
    assert "proofrig baseline set RUN" in lines(typed("list"))[0]
    run_dir = a_run(tmp_path, "2026-a", branch="main", commit="c0ffee")
    assert lines(typed("set")) == ["2026-a is now the baseline of desk on main"]
    assert lines(typed("list"))[-1] == "main 2026-a c0ffee 75.0 % pinned"
    [row] = json.loads(typed("list", "--json").output)
    assert (row["run"], row["branch"], row["pinned"], row["passed"]) == ("2026-a", "main", True, 3)
    shown = lines(typed("show"))
    assert shown[:3] == [
        "Baseline of desk 75.0 % (3 of 4 measured trials)",
        "Run 2026-a",
        "Code main at c0ffee",
    ]
    assert "a 3 of 4 -" in shown
    assert lines(typed("export", "base.json")) == ["base.json: 1 run of desk, 4 trials"]
    assert read_file(tmp_path / "base.json") == read_file(run_dir / "sample.json")
    assert typed("show", "--json").output == (tmp_path / "base.json").read_text()
    assert lines(typed("show", "base.json")) == shown


def test_each_branch_has_its_own(typed: Typed, tmp_path: Path) -> None:
    a_run(tmp_path, "2026-a", passed=1)
    a_run(tmp_path, "2026-b", passed=2)
    assert "on release" in lines(typed("set", "2026-a", "--branch", "release"))[0]
    lines(typed("set", "2026-b"))
    assert "25.0 %" in lines(typed("show", "release"))[0]
    assert "50.0 %" in lines(typed("show", "main"))[0]
    assert "50.0 %" in lines(typed("show"))[0], "the one that was kept last"
    lines(typed("export", "release", "base.json"))
    assert read_file(tmp_path / "base.json").runs == ["2026-a"]
    assert "main, release" in refused(typed("show", "mian"))


def test_any_run_can_be_shown_and_exported(typed: Typed, tmp_path: Path) -> None:
    a_run(tmp_path, "2026-a")
    assert lines(typed("show", "2026"))[1] == "Run 2026-a"
    assert lines(typed("export", "last", "base.json")) == ["base.json: 1 run of desk, 4 trials"]


def test_several_suites_in_one_store_are_told_apart(typed: Typed, tmp_path: Path) -> None:
    for run, suite in (("2026-a", "desk"), ("2026-b", "shop")):
        a_run(tmp_path, run, suite=suite)
        lines(typed("set", run))
    for words in (["show"], ["show", "main"], ["export", "main", "base.json"]):
        assert "which suite? There are shop, desk" in refused(typed(*words))
    assert lines(typed("show", "--suite", "desk"))[1] == "Run 2026-a"
    assert lines(typed("show", "main", "--suite", "shop"))[1] == "Run 2026-b"
    assert lines(typed("show", "2026-b"))[1] == "Run 2026-b"
    assert len(lines(typed("list", "--suite", "shop"))) == 3


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"status": "interrupted"}, "it did not finish: interrupted"),
        ({"verdict": "regressed"}, "it is regressed against the baseline there is"),
        ({"verdict": "unreliable"}, "it is unreliable against the baseline there is"),
        ({"settings": {"only": ["a"]}}, "it ran a selection, 1 of 1 cases"),
        ({"infra": 1}, "1 of 4 trials came to nothing for reasons around the agent"),
    ],
    ids=["cut off", "regressed", "unreliable", "selection", "infra"],
)
def test_a_run_that_is_not_fit_needs_to_be_wanted(
    typed: Typed, tmp_path: Path, more: dict[str, Any], why: str
) -> None:
    a_run(tmp_path, "2026-a", **more)
    said = refused(typed("set"))
    assert "run 2026-a is not fit for a baseline" in said and why in said
    assert "--anyway keeps it all the same" in said
    assert json.loads(typed("list", "--json").output) == []
    kept = lines(typed("set", "--anyway"))
    assert kept[0] == "2026-a is now the baseline of desk on main"
    assert kept[1].startswith(f"although {why}")


def test_nothing_is_held_against_a_run_that_measured_nothing(typed: Typed, tmp_path: Path) -> None:
    a_run(tmp_path, "2026-a", trials=[])
    said = refused(typed("set", "--anyway"))
    assert "no trial of it was measured" in said and "--anyway" not in said


def test_an_uncommitted_tree_is_said(typed: Typed, tmp_path: Path) -> None:
    a_run(tmp_path, "2026-a", commit="c0ffee-dirty")
    assert lines(typed("set"))[1] == "what ran was not what is committed"
    assert "c0ffee-dirty" in lines(typed("list"))[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set"], "there is none yet"),
        (["set", "2026"], "no run '2026'"),
        (["show"], "there is no baseline yet; keep a run with `proofrig baseline set`"),
        (["show", "--suite", "desk"], "there is no baseline of desk yet"),
        (["show", "none.json"], "cannot read the baseline none.json"),
        (["show", "release"], "got 'release'. Branches: no branch has a baseline."),
        (["export", "base.txt"], "a FILE that ends with .json, got: base.txt"),
        (["export", "a", "b", "c.json"], "got: a b c.json"),
    ],
)
def test_what_cannot_be_done_is_said(typed: Typed, words: list[str], said: str) -> None:
    assert said in refused(typed(*words))
