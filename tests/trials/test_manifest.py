"""A manifest says what was run where, and two of them say where they differ."""

from __future__ import annotations

from pathlib import Path

from proofrig.trials.manifest import Manifest, describe_host, differences, read, write


def manifest(**changes: object) -> Manifest:
    fields = {
        "run": "r1",
        "started_ns": 1,
        "suite": "desk",
        "suite_path": "/a/suite.yaml",
        "repeats": 4,
        "concurrency": 8,
        "seed": 7,
        "what": {"models": ["sim-small"], "limits": {"timeout_s": 60}},
        "where": {"cpus": 2},
    }
    return Manifest(**fields | changes)


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = manifest(where=describe_host())
    write(tmp_path, written)
    assert read(tmp_path) == written
    assert written.where["cpus"] >= 1
    assert written.where["kernel"]
    assert written.where["memory_bytes"] > 0


def test_runs_that_differ_only_in_the_model_differ_nowhere_else() -> None:
    other = manifest(
        run="r2",
        started_ns=2,
        suite_path="/b/suite.yaml",
        what={"models": ["sim-large"], "limits": {"timeout_s": 60}},
    )
    assert differences(manifest(), other) == ["what.models: ['sim-small'] | ['sim-large']"]
    assert differences(manifest(), other, but=("what.models",)) == []


def test_every_difference_is_named_with_both_sides() -> None:
    other = manifest(seed=8, what={"models": ["sim-small"], "limits": {"timeout_s": 5}})
    assert differences(manifest(), other) == [
        "seed: 7 | 8",
        "what.limits.timeout_s: 60 | 5",
    ]


def test_which_run_it_is_is_no_difference_of_conditions() -> None:
    other = manifest(run="r2", branch="topic", commit="a" * 40, baseline="main", lane="pr", usd=0.5)
    assert differences(manifest(), other) == ["lane: None | 'pr'", "usd: None | 0.5"]
