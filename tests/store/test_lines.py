"""Figures are drawn oldest first, by scenario, name and branch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrig.store import Point, RunRecord, Store

MAIN = {"branch": "main", "commit": "c0ffee"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/store.db")
    yield opened
    opened.close()


def save(store: Store, run: str, started: int, manifest: dict[str, object], **more: str) -> None:
    told = {"suite": "desk", "suite_digest": "d", "path": "/r"} | more
    store.save(RunRecord(run=run, started_ns=started, manifest=manifest, **told))


def test_lines_are_oldest_first_and_say_where_each_point_is_from(store: Store) -> None:
    for run, started, rate in (("r-2", 20, 0.8), ("r-1", 10, 0.9)):
        save(store, run, started, MAIN)
        store.save_figures(run, {"": {"accuracy": rate}, "burst": {"tool_429_rate": 0.1}})
    points = [
        Point(
            run=run,
            scenario="",
            name="accuracy",
            value=value,
            started_ns=started,
            branch="main",
            commit="c0ffee",
            suite_digest="d",
        )
        for run, value, started in (("r-1", 0.9, 10), ("r-2", 0.8, 20))
    ]
    assert store.lines("desk", ["accuracy"]) == {("", "accuracy"): points}
    assert set(store.lines("desk")) == {("", "accuracy"), ("burst", "tool_429_rate")}


def test_lines_are_chosen_by_suite_scenario_and_branch(store: Store) -> None:
    manifests = {"r-1": MAIN, "r-2": {"branch": "fix"}, "r-3": {}}
    for place, (run, manifest) in enumerate(manifests.items()):
        save(store, run, place, manifest)
        store.save_figures(run, {"": {"accuracy": 1.0}, "burst": {"accuracy": 0.0}})
    save(store, "other", 9, MAIN, suite="shop")
    store.save_figures("other", {"": {"accuracy": 0.5}})

    def runs(scenario: str | None = "", branch: str | None = None) -> list[str]:
        lines = store.lines("desk", ["accuracy"], scenario, branch)
        return [point.run for points in lines.values() for point in points]

    assert runs() == ["r-1", "r-2", "r-3"]
    assert runs(branch="main") == ["r-1"]
    assert runs(branch="") == ["r-3"]
    assert len(runs(None)) == 6
    assert runs("nowhere") == []
    assert store.lines("none") == {}


def test_saving_figures_again_replaces_them(store: Store) -> None:
    save(store, "r-1", 1, {})
    store.save_figures("r-1", {"": {"accuracy": 0.5, "leak_rate": 0.0}})
    store.save_figures("r-1", {"": {"accuracy": 0.75}})
    [line] = store.lines("desk").values()
    assert [point.value for point in line] == [0.75]
    store.save_figures("r-1", {})
    assert store.lines("desk") == {}


def test_what_was_not_measured_has_no_point(store: Store) -> None:
    save(store, "r-1", 1, {})
    store.save_figures("r-1", {"": {"a": float("nan"), "b": float("inf"), "c": 0.0}})
    assert set(store.lines("desk")) == {("", "c")}
