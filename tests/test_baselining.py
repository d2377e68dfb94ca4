"""What a run is held against is found by its name; runs are kept for later ones by themselves."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proofrig.baselining import (
    NoBaseline,
    Wanted,
    autosave,
    find_baseline,
    find_run,
    find_sample,
    keep,
    read_sample,
    write_sample,
)
from proofrig.comparisons.baseline import write_file
from proofrig.comparisons.comparison import Word
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.errors import UsageError
from proofrig.store import RunRecord, Store
from proofrig.trials import manifest as manifests
from proofrig.trials.manifest import Manifest
from report_runs import Recorder


def sample(run: str, started_ns: int = 0, **more: Any) -> Sample:
    told: dict[str, Any] = {
        "suite": "desk",
        "suite_digest": "d1",
        "branch": "main",
        "commit": "c0ffee",
        "cases": {"a": "1"},
        "trials": [TrialSample(case="a", repeat=n, passed=n > 1) for n in (1, 2)],
    }
    return Sample(runs=[run], started_ns=started_ns, **told | more)


class Place:
    """A root with runs and a store."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "kept"
        self.url = f"sqlite:///{folder}/store.db"
        self.wanted = Wanted(
            suite="desk", root=self.root, store_url=self.url, digest="d1", settings={}
        )

    def run(self, one: Sample, folder: Path | None = None) -> Path:
        """The directory of a run that came to `one`."""
        run_dir = (folder or self.root / "runs") / one.runs[0]
        run_dir.mkdir(parents=True)
        whole = Manifest(
            run=one.runs[0],
            started_ns=1,
            suite=one.suite,
            suite_path="suite.yaml",
            repeats=2,
            concurrency=1,
            seed=0,
        )
        manifests.write(run_dir, whole)
        write_sample(run_dir, one)
        return run_dir

    def keep(self, *samples: Sample, branch: str = "main", pinned: bool = False) -> None:
        for one in samples:
            keep(one, branch, self.url, one.started_ns, pinned=pinned)

    def runs(self, ref: str = "", **changes: Any) -> list[str] | None:
        """The runs of what `ref` names; None of a branch that has none for the run."""
        try:
            return find_baseline(ref, replace(self.wanted, **changes)).runs
        except NoBaseline as error:
            self.lack = str(error)
            return None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def test_the_branch_has_none_until_a_run_was_kept(place: Place) -> None:
    assert place.runs() is None
    place.keep(sample("2026-a", 1))
    assert place.runs() == ["2026-a"]
    assert place.runs(branch="release") is None
    assert place.runs(suite="shop") is None


def test_kept_runs_are_pooled_oldest_first(place: Place) -> None:
    place.keep(*(sample(f"2026-{n}", n) for n in (1, 2, 3)))
    assert place.runs() == ["2026-1", "2026-2", "2026-3"]
    assert place.runs(most=4) == ["2026-2", "2026-3"]
    assert place.runs(most=0) == ["2026-3"]
    assert len(find_baseline("", place.wanted).trials) == 6


def test_a_run_is_never_held_against_itself(place: Place) -> None:
    for n in (1, 2):
        place.keep(sample(f"2026-{n}", n))
        place.run(sample(f"2026-{n}", n))
    assert place.runs(but="2026-2") == ["2026-1"]
    assert place.runs("last", but="2026-2") == ["2026-1"]
    assert place.runs("2026", but="2026-2") == ["2026-1"]
    with pytest.raises(UsageError, match=r"got '2026-2'.*2026-1"):
        place.runs("2026-2", but="2026-2")
    write_file(place.root / "base.json", find_baseline("", place.wanted))
    for ref in ("kept/base.json", "kept/runs/2026-2"):
        assert place.runs(ref, but="2026-2") is None
        assert place.lack.startswith(f"{ref} holds this run itself; name a run or a baseline")
    with pytest.raises(UsageError, match="holds this run itself"):
        find_sample("kept/base.json", place.root, place.url, held=sample("2026-2"))


def test_a_pinned_run_is_where_looking_back_ends(place: Place) -> None:
    place.keep(sample("2026-1", 1), sample("2026-3", 3))
    place.keep(sample("2026-2", 2), pinned=True)
    assert place.runs() == ["2026-2", "2026-3"]


def test_another_suite_digest_is_used_where_there_is_no_better(place: Place) -> None:
    place.keep(sample("2026-1", 1), sample("2026-2", 2, suite_digest="d2"))
    assert place.runs() == ["2026-1"]
    assert place.runs(digest="d3") == ["2026-2"]
    assert place.runs(digest="") == ["2026-2"]


def test_scenarios_are_held_against_scenarios(place: Place) -> None:
    place.keep(sample("2026-1", 1), sample("2026-2", 2, settings={"scenarios": ["burst"]}))
    assert place.runs() == ["2026-1"]
    assert place.runs(settings={"scenarios": ["burst"]}) == ["2026-2"]
    assert place.runs(settings={"scenarios": ["ramp"]}) is None
    assert place.runs(settings=None) == ["2026-2"]


def test_why_a_branch_has_nothing_to_hold_the_run_against_is_said(place: Place) -> None:
    for ref in ("", "main"):
        assert place.runs(ref) is None
        assert place.lack.startswith("there is no baseline of desk on main yet; keep a run with")
    place.keep(sample("2026-1", 1), sample("2026-2", 2, settings={"scenarios": ["burst"]}))
    place.keep(sample("2026-3", 3), branch="release")
    for ref in ("", "main"):
        assert place.runs(ref, settings={"scenarios": ["ramp"]}) is None
        assert place.lack == (
            "the baselines of desk on main are of burst, the plain plan, and this run has none of "
            "these; keep one like it with `proofrig baseline set`"
        )
    assert place.runs("release", but="2026-3") is None
    assert place.lack == "the only baseline of desk on release is this run itself"


def test_runs_are_named_as_everywhere(place: Place, tmp_path: Path) -> None:
    for run in ("2025-a", "2026-a", "2026-b"):
        place.run(sample(run))
    away = place.run(sample("elsewhere"), tmp_path / "other")
    store = Store(place.url)
    told = {"suite": "desk", "suite_digest": "d1", "started_ns": 1}
    store.save(RunRecord(run="elsewhere", path=str(away), **told))
    store.save(RunRecord(run="gone", path=str(tmp_path / "gone"), **told))
    store.close()
    assert place.runs("2025-a") == ["2025-a"]
    assert place.runs("2025") == ["2025-a"]
    assert place.runs("last") == ["2026-b"]
    assert place.runs("kept/runs/2026-a") == ["2026-a"]
    assert place.runs(str(away)) == ["elsewhere"]
    assert place.runs("elsew") == ["elsewhere"]
    with pytest.raises(UsageError, match="'2026' could be any of: 2026-a, 2026-b"):
        place.runs("2026")
    with pytest.raises(UsageError, match="got 'gone'"):
        place.runs("gone")


def test_a_run_is_found_by_the_same_names(place: Place, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run 'last' in .*kept/runs; there is none yet"):
        find_run("last", place.root, place.url)
    for run in ("2025-a", "2026-a", "2026-b", "2026-ab"):
        place.run(sample(run))
    away = place.run(sample("elsewhere"), tmp_path / "other")
    store = Store(place.url)
    told = {"suite": "desk", "suite_digest": "d1", "started_ns": 1}
    store.save(RunRecord(run="elsewhere", path=str(away), **told))
    store.close()

    def found(name: str) -> Path:
        return find_run(name, place.root, place.url)

    runs = place.root / "runs"
    assert found("last") == runs / "2026-b"
    assert found("2025") == runs / "2025-a"
    assert found("2026-a") == runs / "2026-a", "a whole id, though another begins so"
    assert found("kept/runs/2026-a") == runs / "2026-a"
    assert found("else") == found(str(away)) == away
    with pytest.raises(UsageError, match="'2026' could be any of: 2026-a, 2026-ab, 2026-b; write"):
        found("2026")
    with pytest.raises(UsageError, match=r"no run 'gone' in .*the latest are: 2025-a, .*2026-b"):
        found("gone")


def test_a_baseline_outlives_the_directory_of_its_run(place: Place) -> None:
    place.keep(sample("2026-a", 1), branch="release")
    assert place.runs("2026") == ["2026-a"]
    with pytest.raises(UsageError):
        place.runs("2026", but="2026-a")


def test_a_branch_is_meant_before_the_beginning_of_a_run(place: Place) -> None:
    place.run(sample("release-run"))
    place.run(sample("fix"))
    assert place.runs("release") == ["release-run"]
    place.keep(sample("2026-a", 1), branch="release")
    place.keep(sample("2026-b", 2), branch="fix")
    assert place.runs("release") == ["2026-a"]
    assert place.runs("fix") == ["fix"]  # a whole id is a run's


def test_a_file_is_read_wherever_it_is(place: Place, tmp_path: Path) -> None:
    write_file(tmp_path / "base.json", sample("2024-a"))
    (tmp_path / "main").write_text("a program of that name is no baseline")
    place.keep(sample("2026-a", 1))
    assert place.runs("base.json") == ["2024-a"]
    assert place.runs(str(tmp_path / "base.json")) == ["2024-a"]
    assert place.runs("main") == ["2026-a"]
    with pytest.raises(UsageError, match=r"cannot read the baseline none\.json"):
        place.runs("none.json")


def test_what_is_named_without_a_run_in_mind(place: Place, tmp_path: Path) -> None:
    def runs(ref: str, **how: Any) -> list[str]:
        return find_sample(ref, place.root, place.url, **how).runs

    with pytest.raises(UsageError, match="there is no baseline of desk yet"):
        runs("", suite="desk")
    write_file(tmp_path / "base.json", sample("2024-a"))
    assert runs("base.json") == ["2024-a"]
    place.run(sample("2026-b", 2))
    place.keep(sample("2026-a", 1), sample("2026-b", 2))
    place.keep(sample("2026-c", 3, suite="shop"), branch="release")
    assert runs("last") == ["2026-b"]
    assert runs("main") == ["2026-a", "2026-b"]
    assert runs("release") == ["2026-c"]
    assert runs("", suite="desk") == ["2026-a", "2026-b"]
    with pytest.raises(UsageError, match=r"which suite.*shop, desk"):
        runs("")


def test_what_is_named_to_be_held_against_a_sample_comes_near_it(place: Place) -> None:
    held = sample("2026-c", 3)
    for one in (sample("2026-a", 1), sample("2026-b", 2), held):
        place.run(one)
    other = sample("2026-d", 4, suite_digest="d2")
    place.keep(sample("2026-b", 2), held, other, sample("2026-e", 5, suite="shop"))

    def runs(ref: str) -> list[str]:
        return find_sample(ref, place.root, place.url, held=held).runs

    assert runs("main") == ["2026-b"]
    assert runs("last") == ["2026-b"], "the one before it"


def test_files_need_no_store(place: Place, tmp_path: Path) -> None:
    write_file(tmp_path / "base.json", sample("2024-a"))
    for ref in ("base.json", str(place.run(sample("2026-a")))):
        find_sample(ref, place.root, place.url)
        find_baseline(ref, place.wanted)
    assert not (tmp_path / "store.db").exists()


def test_a_name_of_nothing_is_told_what_there_is(place: Place) -> None:
    with pytest.raises(UsageError, match=r"no branch has a baseline.*none is in .*kept/runs"):
        place.runs("mian")
    place.keep(sample("2026-a", 1), sample("2026-b", 2))
    place.keep(sample("2026-c", 3), branch="release")
    place.run(sample("2026-d"))
    with pytest.raises(UsageError) as caught:
        place.runs("mian")
    for said in ("got 'mian'", "are release, main.", "are 2026-d.", ".json"):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "status", "verdict", "said"),
    [
        ({}, "finished", None, "kept as a baseline of main"),
        ({}, "finished", "inconclusive", "kept as a baseline of main"),
        ({"branch": "fix"}, "finished", None, ""),
        ({"branch": ""}, "finished", None, ""),
        ({"branch": "pull/main"}, "finished", None, ""),
        ({}, "interrupted", None, "not kept as a baseline of main: it did not finish"),
        ({}, "finished", "regressed", "not kept as a baseline of main: it is regressed"),
        ({"commit": "c0ffee-dirty"}, "finished", None, "not kept .*: what ran was not what"),
        ({"trials": []}, "finished", None, "not kept .*: no trial of it was measured"),
    ],
)
def test_runs_of_the_main_branch_are_kept_by_themselves(
    place: Place, given: dict[str, Any], status: str, verdict: Word | None, said: str
) -> None:
    one = sample("2026-a", 1, **given)
    found = autosave(one, "main", place.url, 7, status=status, verdict=verdict)
    if said:
        assert re.match(said, found)
    else:
        assert found == ""
    assert (place.runs() is not None) == found.startswith("kept")


def test_what_is_kept_is_described(place: Place) -> None:
    told = {"settings": {"scenarios": ["burst"], "agents": 32}, "commit": "c0ffee"}
    place.keep(sample("2026-a", 5, **told), pinned=True)
    store = Store(place.url)
    [record] = store.baselines()
    store.close()
    assert (record.run, record.branch, record.suite, record.suite_digest) == (
        *("2026-a", "main", "desk", "d1"),
    )
    assert (record.saved_ns, record.pinned, record.commit) == (5, True, "c0ffee")
    assert (record.scenarios, record.conditions) == (("burst",), "agents 32")
    assert (record.cases, record.measured, record.passed) == (1, 2, 1)


def test_a_run_that_turns_out_worse_is_a_baseline_no_more(place: Place) -> None:
    one = sample("2026-a", 1)
    assert autosave(one, "main", place.url, 1, status="finished").startswith("kept")
    said = autosave(one, "main", place.url, 2, status="finished", verdict="regressed")
    assert said.startswith("not kept")
    assert place.runs() is None
    place.keep(one, pinned=True)
    autosave(one, "main", place.url, 3, status="finished", verdict="regressed")
    assert place.runs() == ["2026-a"], "what a person chose stays"


def test_a_sample_beside_the_summary_is_read(place: Place) -> None:
    one = sample("2026-a", 3)
    assert read_sample(place.run(one)) == one


@pytest.mark.parametrize("left", [None, "", '{"schema": "proofrig.sample/9"}', '{"schema": "pro'])
def test_a_run_without_a_sample_that_can_be_read_is_folded(
    tmp_path: Path, left: str | None
) -> None:
    run = Recorder(tmp_path / "2026-a", run="2026-a", branch="main", commit="c0ffee")
    with run.trial("a", 1) as trial:
        trial.llm("let me look", calls=[("lookup", {"order": 7})])
        trial.tool("lookup", {"order": 7}, "shipped")
    with run.trial("a", 2, failure="agent"), run.trial("b", 1, failure="infra"):
        pass
    with run.trial("a", role="null", failure="agent"):
        pass
    report = run.report()
    came = {"status": "finished", "summary": report.summary}
    (run.dir / "summary.json").write_bytes(msgspec.json.encode(came))
    if left is not None:
        (run.dir / "sample.json").write_text(left)
    found = read_sample(run.dir)
    assert (found.runs, found.branch, found.commit) == (["2026-a"], "main", "c0ffee")
    assert [(one.case, one.repeat, one.passed) for one in found.trials] == [
        *(("a", 1, True), ("a", 2, False), ("b", 1, None)),
    ]
    assert (found.infra, found.trials[0].tool_calls) == (1, 1)


def test_a_run_that_came_to_nothing_is_to_be_finished(place: Place) -> None:
    run_dir = place.run(sample("2026-a"))
    (run_dir / "sample.json").unlink()
    with pytest.raises(UsageError, match=r"was cut off .*proofrig resume .*2026-a"):
        place.runs("last")
    (run_dir / "summary.json").write_text('{"summary": ')
    with pytest.raises(UsageError, match=r"in .*summary\.json, got a file that is not whole"):
        place.runs("last")
