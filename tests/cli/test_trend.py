"""`proofrig trend` on a store that holds some runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from proofrig.baselining import SUMMARY, keep
from proofrig.cli.main import cli
from proofrig.comparisons.gate import GateResult
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.conclusion import Conclusion
from proofrig.errors import InfraError, UsageError
from proofrig.results import Score, Summary
from proofrig.stats.intervals import Interval
from proofrig.store import RunRecord, Store
from trend_lines import BEGAN, DAY

RATES = (0.9, 0.8, 0.7)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs of `desk`, the second on another branch, and one of `shop`; the last was gated."""
    import msgspec

    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    for number, rate in enumerate(RATES):
        run = f"r{number}"
        branch = "feature" if number == 1 else "main"
        overall = Score("all", measured=10, passed=int(10 * rate), k=1)
        overall.rate = Interval(rate, rate - 0.1, rate + 0.05)
        summary = Summary(overall)
        store.save_results(record(tmp_path, run, number, branch=branch), summary, [])
        store.save_figures(run, {"": {"accuracy": rate}, "burst": {"tool_429_rate": rate / 10}})
    store.save(record(tmp_path, "s0", -1, suite="shop"))
    store.close()
    gate = GateResult("accuracy >= 80 %", "fail", "70 %", figure="accuracy", bound=0.8)
    concluded = Conclusion(
        run="r2", status="finished", exit_code=1, summary=Summary(Score("all")), gates=[gate]
    )
    (tmp_path / "r2").mkdir()
    (tmp_path / "r2" / SUMMARY).write_bytes(msgspec.json.encode(concluded))
    return tmp_path


def record(root: Path, run: str, day: int, suite: str = "desk", **manifest: Any) -> RunRecord:
    return RunRecord(
        run=run,
        suite=suite,
        suite_digest="d",
        path=str(root / run),
        started_ns=BEGAN + day * DAY,
        manifest={"suite_path": str(root / "desk.yaml")} | manifest,
    )


def typed(root: Path, *words: str) -> Result:
    given = ["trend", *words, "--root", str(root), "--store", f"sqlite:///{root / 'store.db'}"]
    return CliRunner().invoke(cli, given, standalone_mode=False)


def test_bars_are_printed_of_the_suite_of_the_latest_run(root: Path) -> None:
    done = typed(root)
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert lines[0] == "desk 3 runs, the bars are main"
    assert lines[3] == "✗ Accuracy █▁ 70.0 %"
    assert lines[4] == "429 rate under burst █▁ 7.0 %"
    assert "Accuracy: ✗ accuracy >= 80 %" in lines
    assert any(line.startswith("Leak rate: proofrig run ") for line in lines)


def test_a_page_is_written_whole(root: Path) -> None:
    done = typed(root, "desk", "-o", str(root / "new" / "trend.html"))
    assert done.output.strip() == str(root / "new" / "trend.html")
    assert [path.name for path in (root / "new").iterdir()] == ["trend.html"]
    assert "60.0 to 75.0 %" in (root / "new" / "trend.html").read_text()


def test_json_has_every_key_and_nothing_that_was_not_measured(root: Path) -> None:
    found = json.loads(typed(root, "--json").output)
    assert (found["schema"], found["suite"], found["main"]) == ("proofrig.trend/1", "desk", "main")
    accuracy, _, leak, _ = found["lines"]
    assert [point["value"] for point in accuracy["points"]] == list(RATES)
    assert accuracy["points"][0]["low"] == 0.8
    assert accuracy["gates"] == [{"text": "accuracy >= 80 %", "op": ">=", "value": 0.8}]
    assert (leak["points"], leak["baseline"], leak["unit"]) == ([], None, "share")
    assert leak["measure"].endswith("--scenario tenant_probe")


def test_a_branch_and_a_figure_can_be_asked_for(root: Path) -> None:
    words = ("--branch", "feature", "--figure", "tool_429_rate", "--figure", "accuracy", "--json")
    found = json.loads(typed(root, *words).output)
    assert found["main"] == "feature"
    told = [(one["figure"], one["scenario"], len(one["points"])) for one in found["lines"]]
    assert told == [("tool_429_rate", "burst", 1), ("accuracy", "", 1)]


def test_a_suite_may_be_named_by_where_it_is(root: Path) -> None:
    suite = root / "desk.yaml"
    suite.write_text(
        'suite: desk\nagent: {type: "null"}\n'
        "cases: [{id: a, task: t, verify: [{type: exact, value: x}]}]\n"
    )
    assert typed(root, str(suite)).output.startswith("desk")


def test_the_branch_is_the_one_whose_runs_the_suite_calls_its_baseline(root: Path) -> None:
    for number, branch in enumerate(("feature", "main")):
        trials = [TrialSample(case="a", passed=number == 0)]
        measures = {"": {"accuracy": 1.0 - number}}
        one = Sample(
            suite="desk", suite_digest="d", runs=[branch], trials=trials, measures=measures
        )
        keep(one, branch, f"sqlite:///{root / 'store.db'}", number, pinned=False)
    suite = root / "desk.yaml"
    suite.write_text(
        'suite: desk\nagent: {type: "null"}\nbaseline: {branch: feature}\n'
        "cases: [{id: a, task: t, verify: [{type: exact, value: x}]}]\n"
    )
    found = json.loads(typed(root, "--json").output)
    assert (found["main"], found["lines"][0]["baseline"]) == ("feature", 1.0)
    suite.write_text("suite: [")
    assert json.loads(typed(root, "--json").output)["main"] == "main"
    suite.unlink()
    found = json.loads(typed(root, "--json").output)
    assert (found["main"], found["lines"][0]["baseline"]) == ("main", 0.0)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nope"], "no run of the suite 'nope' is in the store; there are runs of desk, shop"),
        (["--figure", "acuracy"], "no run has measured the figure 'acuracy': did you mean"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    root: Path, words: list[str], error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        raise typed(root, *words).exception or AssertionError("it should have been refused")


def test_an_empty_store_and_a_place_that_cannot_be_written_are_said(root: Path) -> None:
    empty = root / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="there are no runs at all"):
        raise typed(empty).exception or AssertionError
    with pytest.raises(InfraError, match="cannot write the page"):
        raise typed(root, "-o", str(root / "store.db" / "x.html")).exception or AssertionError
