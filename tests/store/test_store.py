"""The store keeps runs, finds them, and replaces what is saved twice."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from proofrig.errors import InfraError, UsageError
from proofrig.results import Row, Score, Summary
from proofrig.stats.intervals import Interval
from proofrig.store import BaselineRecord, RunRecord, Store

SUITE = {"suite": "desk", "suite_digest": "d", "saved_ns": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(f"sqlite:///{tmp_path}/deep/er/store.db")
    yield opened
    opened.close()


def record(run: str, started: int, suite: str = "desk", **more: object) -> RunRecord:
    return RunRecord(run=run, suite=suite, suite_digest="d", path="/r", started_ns=started, **more)


def summary(rate: float) -> Summary:
    overall = Score("all", trials=4, measured=4, passed=3, rate=Interval(rate, 0.3, 0.9), k=2)
    overall.pass_hat = {"2": 0.5}
    return Summary(overall=overall, by_case=[Score("a"), Score("b")])


def test_runs_come_newest_first_and_are_found_by_prefix(store: Store) -> None:
    for run, started in (("r-1", 1), ("r-2", 3), ("x-1", 2)):
        store.save(record(run, started))
    assert [found.run for found in store.runs()] == ["r-2", "x-1", "r-1"]
    assert [found.run for found in store.find("x")] == ["x-1"]
    assert len(store.find("r-")) == 2
    assert [found.run for found in store.find("last")] == ["r-2"]
    assert store.find("r_1") == []


def test_saving_again_replaces(store: Store) -> None:
    first = record("r-1", 1, manifest={"a": [1]})
    store.save(first)
    rows = [Row("a:1", "a", 1, passed=True), Row("a:2", "a", 2, passed=None, failure="infra")]
    for rate in (0.5, 0.75):
        done = record("r-1", 1, status="finished", verdict="pass", manifest={"a": [1]})
        store.save_results(done, summary(rate), rows)
    assert store.runs() == [done]
    assert [point["rate"] for point in store.trend("desk")] == [0.75]
    assert store.trend("desk")[0]["pass_hat_k"] == 0.5
    assert store.trend("desk", "case", "a")[0]["rate"] is None
    assert (store.rate("r-1"), store.rate("none")) == (0.75, None)
    assert store.outcomes("r-1") == {"a": [True, None]}


def test_a_trend_is_in_the_order_of_time(store: Store) -> None:
    for run, started, rate in (("r-2", 2, 0.2), ("r-1", 1, 0.1), ("other", 3, 0.9)):
        suite = "other" if run == "other" else "desk"
        store.save_results(record(run, started, suite), summary(rate), [])
    assert [point["rate"] for point in store.trend("desk")] == [0.1, 0.2]


def test_a_store_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match=r"cannot open the store .*PROOFRIG_STORE"):
        Store(f"sqlite:///{tmp_path}/file/store.db")


@pytest.mark.parametrize("url", ["nonsense", "no-such-database://host/x", "sqlite"])
def test_what_is_no_url_of_a_store_is_the_users_to_mend(url: str) -> None:
    with pytest.raises(UsageError, match=r"expected a SQLAlchemy URL.*PROOFRIG_STORE"):
        Store(url)


def test_a_new_store_that_another_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # to make the first table
    done = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    done.start()
    store = Store(f"sqlite:///{path}")
    assert store.runs() == []
    store.close()
    done.join()
    other.close()


def test_a_password_in_a_bad_url_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Store("no-such-database://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_database_that_fails_later_is_infra_and_nothing_is_half_saved(
    store: Store, tmp_path: Path
) -> None:
    store.save_results(record("r-1", 1), summary(0.5), [])
    with sqlite3.connect(tmp_path / "deep" / "er" / "store.db") as other:
        other.execute("drop table trials")
    other.close()
    with pytest.raises(InfraError, match=r"store at .*store\.db failed"):
        store.save_results(record("r-1", 1, status="finished"), summary(0.9), [])
    assert store.rate("r-1") == 0.5
    assert [found.status for found in store.runs()] == ["running"]


# What the first version of the store wrote.
OLD = """
CREATE TABLE runs (
    run VARCHAR NOT NULL, suite VARCHAR NOT NULL, suite_digest VARCHAR NOT NULL,
    path VARCHAR NOT NULL, started_ns BIGINT NOT NULL, finished_ns BIGINT NOT NULL,
    status VARCHAR NOT NULL, verdict VARCHAR NOT NULL, exit_code INTEGER NOT NULL,
    manifest JSON NOT NULL, PRIMARY KEY (run)
);
CREATE INDEX ix_runs_suite ON runs (suite);
CREATE TABLE scores (
    run VARCHAR NOT NULL, kind VARCHAR NOT NULL, name VARCHAR NOT NULL, trials INTEGER NOT NULL,
    measured INTEGER NOT NULL, passed INTEGER NOT NULL, rate FLOAT, low FLOAT, high FLOAT,
    k INTEGER NOT NULL, pass_hat_k FLOAT, usd_micro BIGINT NOT NULL, tokens BIGINT NOT NULL,
    duration_p50_ns FLOAT, PRIMARY KEY (run, kind, name)
);
CREATE TABLE trials (
    run VARCHAR NOT NULL, trial VARCHAR NOT NULL, case_id VARCHAR NOT NULL,
    repeat INTEGER NOT NULL, role VARCHAR NOT NULL, tenant VARCHAR NOT NULL, passed BOOLEAN,
    failure VARCHAR NOT NULL, score FLOAT NOT NULL, usd_micro BIGINT NOT NULL,
    tokens BIGINT NOT NULL, llm_calls INTEGER NOT NULL, tool_calls INTEGER NOT NULL,
    duration_ns BIGINT NOT NULL, PRIMARY KEY (run, trial)
);
INSERT INTO runs VALUES ('r-0', 'desk', 'd', '/r', 1, 2, 'finished', 'pass', 0, '{"seed": 7}');
INSERT INTO scores VALUES
    ('r-0', 'overall', 'all', 4, 4, 3, 0.75, 0.3, 0.9, 2, 0.5, 10, 20, 5.0);
"""


def test_a_store_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as old:
        old.executescript(OLD)
    old.close()
    for _ in range(2):  # the second time nothing is missing
        store = Store(f"sqlite:///{tmp_path}/store.db")
        assert [(run.run, run.manifest) for run in store.runs()] == [("r-0", {"seed": 7})]
        store.save_figures("r-0", {"": {"accuracy": 0.75}})
        store.save_baseline(BaselineRecord(run="r-0", branch="main", **SUITE), b"sample")
        [point] = store.lines("desk")["", "accuracy"]
        assert (point.run, point.value, point.branch, point.commit) == ("r-0", 0.75, "", "")
        assert [one.run for one in store.baselines("desk", "main")] == ["r-0"]
        assert store.rate("r-0") == 0.75
        store.close()


def test_what_an_earlier_version_needs_of_a_store_is_still_there(tmp_path: Path) -> None:
    """Two versions may share a store: the old tables stay as they are, column by column."""
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.executescript(OLD)
    Store(f"sqlite:///{tmp_path}/new.db").close()
    columns = []
    for name in ("old.db", "new.db"):
        with sqlite3.connect(tmp_path / name) as opened:
            tables = ("runs", "scores", "trials")
            columns.append([opened.execute(f"PRAGMA table_info({t})").fetchall() for t in tables])
        opened.close()
    old.close()
    assert columns[0] == columns[1]
