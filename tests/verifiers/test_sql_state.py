from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from builders import evidence, world
from proofrig.verifiers import Verdict, judge
from proofrig.verifiers.sql_state import SqlState

INITIAL = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total REAL, updated_at TEXT);
INSERT INTO orders VALUES (1, 'paid', 10.5, 't0'), (2, 'paid', 20, 't0'), (3, 'open', 5, 't0');
CREATE TABLE log (line TEXT);
CREATE TABLE lines (order_id INTEGER, item TEXT);
INSERT INTO lines VALUES (1, 'pen'), (1, 'pen'), (2, 'ink');
"""
REFUND = "UPDATE orders SET status = 'refunded' WHERE id = 1;"
PAID = {"id": 2, "status": "paid"}
OPEN = {"id": 3, "status": "open"}
EXPECTED = [{"id": 1, "status": "refunded"}, PAID, OPEN]


def judged(root: Path, done: str, *, initial: bool = True, **settings: Any) -> Verdict:
    """The verdict on the initial database after the agent did `done`."""
    root.mkdir(exist_ok=True)
    path = root / "shop.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(INITIAL + done)
    connection.close()
    verifier = SqlState.model_validate({"database": "shop.db", **settings})
    context = {"initial_sql": {"shop.db": INITIAL}} if initial else {}
    return judge(verifier, evidence(world=root, suite_dir=root.parent, context=context))


@pytest.mark.parametrize(
    ("done", "passed"),
    [
        (REFUND, True),
        (REFUND + "UPDATE orders SET updated_at = 't1'", True),  # a column nobody named
        (REFUND + "INSERT INTO log VALUES ('x')", True),  # a table nobody named
        ("", False),
        ("UPDATE orders SET status = 'refunded'", False),
        (REFUND + "DELETE FROM orders WHERE id = 3", False),
        (REFUND + "INSERT INTO orders (status) VALUES ('open')", False),
        ("UPDATE orders SET status = 'refunded' WHERE id = 2", False),
        ("DROP TABLE orders", False),
        ("ALTER TABLE orders DROP COLUMN status", False),
        ("ALTER TABLE orders RENAME TO o; CREATE VIEW orders AS SELECT * FROM o", False),
    ],
)
def test_expect_judges_the_listed_columns_of_the_listed_tables(
    done: str, passed: bool, tmp_path: Path
) -> None:
    for rows in (EXPECTED, EXPECTED[::-1]):
        verdict = judged(tmp_path, done, initial=False, expect={"Orders": {"rows": rows}})
        assert verdict.passed is passed, verdict.message


@pytest.mark.parametrize(
    ("table", "wish", "passed"),
    [
        ("orders", {"rows": [{"id": 1, "total": 10.5}], "where": "id = 1"}, True),
        ("orders", {"rows": [{"id": 1.0, "total": 10.5}], "where": "id = 1"}, True),
        ("orders", {"rows": [{"id": "1"}], "where": "id = 1"}, False),
        ("orders", {"rows": [], "where": "status = 'lost'"}, True),
        ("orders", {"rows": [], "where": "status = 'open'"}, False),
        ("orders", {"rows": [{"id": 1, "status": "paid"}, {"id": 2}, {"id": 3}]}, True),
        ("orders", {"rows": [{"id": 1, "status": "open"}, {"id": 2}, {"id": 3}]}, False),
        ("orders", {"rows": [{"ID": 1}, {"id": 2}, {"id": 3}], "columns": ["Id"]}, True),
        ("orders", {"rows": [{"id": 1, "status": "x"}], "columns": ["id"]}, None),
        ("orders", {"rows": [{"nothing": 1}]}, False),
        ("log", {"rows": []}, True),
        ("lines", {"rows": []}, False),
        ("lines", {"rows": [{"item": "pen"}, {"item": "ink"}, {"item": "pen"}]}, True),
        ("lines", {"rows": [{"item": "pen"}, {"item": "ink"}, {"item": "ink"}]}, False),
        ("lines", {"rows": [{"item": "pen"}, {"item": "ink"}]}, False),
        ("absent", {"rows": []}, False),
    ],
)
def test_expect_compares_multisets_of_rows(
    table: str, wish: dict[str, Any], passed: bool | None, tmp_path: Path
) -> None:
    verdict = judged(tmp_path, "", expect={table: wish})
    assert verdict.passed is passed, verdict.message


SIDE_EFFECTS = [
    ("", True),
    ("INSERT INTO log VALUES ('x')", False),
    ("DELETE FROM lines WHERE rowid = 1", False),
    ("UPDATE orders SET total = 6 WHERE id = 3", False),
    ("CREATE TABLE extra (a)", False),
    ("DROP TABLE log", False),
    ("ALTER TABLE log ADD COLUMN more", False),
    ("DELETE FROM orders WHERE id = 3; INSERT INTO orders VALUES (3, 'open', 5.0, 't0')", True),
    ("DELETE FROM lines WHERE rowid = 1; INSERT INTO lines VALUES (1, 'pen')", True),
    ("CREATE INDEX quick ON orders (status)", True),
]


@pytest.mark.parametrize(("side_effect", "passed"), SIDE_EFFECTS)
def test_what_is_not_named_must_be_as_it_was(
    side_effect: str, passed: bool, tmp_path: Path
) -> None:
    forms: list[dict[str, Any]] = [
        {"changes": {"orders": {"updated": [{"id": 1, "status": "refunded"}]}}},
        {"after": REFUND},
        {"equals": INITIAL + REFUND},
    ]
    for form in forms:
        verdict = judged(tmp_path, REFUND + side_effect, **form)
        assert verdict.passed is passed, (form, verdict.message)
        assert judged(tmp_path, side_effect, **form).passed is False


@pytest.mark.parametrize(
    ("changes", "done", "passed"),
    [
        ({}, "", True),
        ({}, REFUND, False),
        ({"orders": {"deleted": [{"id": 3}]}}, "DELETE FROM orders WHERE id = 3", True),
        ({"orders": {"deleted": [{"id": 3}]}}, "DELETE FROM orders WHERE id = 2", False),
        ({"orders": {"deleted": [{"id": 3}]}}, "DELETE FROM orders", False),
        ({"lines": {"deleted": [{"order_id": 1}]}}, "DELETE FROM lines WHERE order_id = 1", True),
        ({"log": {"inserted": [{}]}}, "INSERT INTO log VALUES ('any')", True),
        ({"log": {"inserted": [{}]}}, "", False),
        ({"log": {"inserted": [{}]}}, "INSERT INTO log VALUES ('a'), ('b')", False),
        (
            {"orders": {"inserted": [{"status": "open", "total": 7}]}},
            "INSERT INTO orders (status, total) VALUES ('open', 7)",
            True,
        ),
        (
            {"orders": {"inserted": [{"status": "open", "total": 7}]}},
            "INSERT INTO orders (status, total) VALUES ('open', 8)",
            False,
        ),
        (
            {"orders": {"inserted": [{"status": "open"}]}},
            "INSERT INTO orders (status) VALUES ('open'), ('open')",  # done twice
            False,
        ),
        (
            {"lines": {"key": ["item"], "updated": [{"item": "ink", "order_id": 3}]}},
            "UPDATE lines SET order_id = 3 WHERE item = 'ink'",
            True,
        ),
        ({"orders": {"updated": [{"id": 9, "status": "x"}]}}, "", None),
        ({"orders": {"updated": [{"status": "x"}]}}, "", None),
        ({"orders": {"updated": [{"id": 1, "state": "x"}]}}, "", None),
        ({"orders": {"deleted": [{"id": 9}]}}, "", None),
        ({"absent": {"inserted": [{}]}}, "", None),
        ({"lines": {"updated": [{"item": "ink", "order_id": 3}]}}, "", None),  # has no key
        (
            {"lines": {"key": ["item"], "updated": [{"item": "pen", "order_id": 3}]}},
            "UPDATE lines SET order_id = 3 WHERE rowid = 1",
            None,  # the key finds two rows
        ),
    ],
)
def test_changes(changes: dict[str, Any], done: str, passed: bool | None, tmp_path: Path) -> None:
    verdict = judged(tmp_path, done, changes=changes)
    assert verdict.passed is passed, verdict.message


def test_a_broken_reference_is_never_the_expected_state(tmp_path: Path) -> None:
    for form in ({"after": "UPDATE nothing SET a = 1"}, {"equals": "nonsense"}):
        verdict = judged(tmp_path, "", **form)
        assert verdict.passed is None
        assert "the SQL of the expected state fails" in verdict.message
    assert judged(tmp_path, "", initial=False, after=REFUND).passed is None
    assert judged(tmp_path, "", initial=False, changes={}).passed is None


def test_sql_from_files_of_the_suite(tmp_path: Path) -> None:
    world(tmp_path, {"refund.sql": REFUND, "whole.sql": INITIAL + REFUND})
    assert judged(tmp_path / "w", REFUND, after="refund.sql").passed is True
    assert judged(tmp_path / "w", REFUND, equals="whole.sql").passed is True
    assert judged(tmp_path / "w", "", after="refund.sql").passed is False
    assert judged(tmp_path / "w", REFUND, after="absent.sql").passed is None


def test_others_unchanged_beside_expect(tmp_path: Path) -> None:
    settings = {"expect": {"orders": {"rows": EXPECTED}}, "others_unchanged": True}
    touched = REFUND + "UPDATE orders SET updated_at = 't1';"
    assert judged(tmp_path, touched, **settings).passed is True
    assert judged(tmp_path, touched + "INSERT INTO log VALUES ('x')", **settings).passed is False


@pytest.mark.parametrize(
    ("ignore", "passed"),
    [
        ([], False),
        (["log"], False),
        (["log", "orders.updated_at"], True),
        (["LOG", "*.Updated_At"], True),
        (["orders"], False),
        (["log", "lines.updated_at"], False),
    ],
)
def test_ignore_leaves_out_tables_and_columns(
    ignore: list[str], passed: bool, tmp_path: Path
) -> None:
    done = REFUND + "UPDATE orders SET updated_at = 't1'; INSERT INTO log VALUES ('x')"
    assert judged(tmp_path, done, after=REFUND, ignore=ignore).passed is passed
    row = {"id": 1, "status": "refunded", "updated_at": "whenever"}
    changes = {"orders": {"updated": [row]}}
    assert judged(tmp_path, done, changes=changes, ignore=ignore).passed is passed


def test_an_inserted_row_may_give_an_ignored_column(tmp_path: Path) -> None:
    changes = {"orders": {"inserted": [{"id": 9, "status": "new", "updated_at": "never"}]}}
    settings = {"changes": changes, "ignore": ["*.updated_at"]}
    assert judged(tmp_path, "INSERT INTO orders VALUES (9, 'new', 1, 't')", **settings).passed
    verdict = judged(tmp_path, "INSERT INTO orders VALUES (9, 'old', 1, 't')", **settings)
    assert 'orders changed: id=9: status is "old", not "new"' in verdict.message


@pytest.mark.parametrize(
    ("total", "tolerance", "passed"),
    [(10.5, 0, True), (10.500001, 0, False), (10.509, 0.01, True), (10.52, 0.01, False)],
)
def test_tolerance(total: float, tolerance: float, passed: bool, tmp_path: Path) -> None:
    done = f"UPDATE orders SET total = {total} WHERE id = 1"
    settings = {"changes": {}, "tolerance": tolerance}
    assert judged(tmp_path, done, **settings).passed is passed
    query = {"sql": "SELECT total FROM orders WHERE id = 1", "rows": [[10.5]]}
    assert judged(tmp_path, done, queries=[query], tolerance=tolerance).passed is passed


def test_tolerance_does_not_mix_up_rows(tmp_path: Path) -> None:
    swap = "UPDATE orders SET total = CASE id WHEN 1 THEN 20.001 WHEN 2 THEN 10.5 ELSE total END"
    assert judged(tmp_path, swap, changes={}, tolerance=0.01).passed is False


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ({"sql": "SELECT count(*) FROM orders", "rows": [[3]]}, True),
        ({"sql": "SELECT count(*) FROM orders", "rows": [[2]]}, False),
        ({"sql": "SELECT id FROM orders ORDER BY id DESC", "rows": [[1], [2], [3]]}, True),
        (
            {"sql": "SELECT id FROM orders ORDER BY id", "rows": [[3], [2], [1]], "ordered": True},
            False,
        ),
        ({"sql": "SELECT * FROM absent", "rows": []}, False),
    ],
)
def test_queries(query: dict[str, Any], passed: bool, tmp_path: Path) -> None:
    assert judged(tmp_path, "", queries=[query]).passed is passed


def test_messages_show_changed_missing_and_unexpected_rows(tmp_path: Path) -> None:
    done = "DELETE FROM orders WHERE id = 2; INSERT INTO orders VALUES (7, 'x', 1, 't0');"
    message = judged(tmp_path, done, after=REFUND).message
    assert 'orders changed: id=1: status is "paid", not "refunded"' in message
    assert 'orders missing: {"id": 2, "status": "paid", "total": 20.0' in message
    assert 'orders unexpected: {"id": 7, "status": "x"' in message
    many = "".join(f"INSERT INTO log VALUES ('{n}');" for n in range(9))
    assert "and 6 more" in judged(tmp_path, many, changes={}).message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "shop.db is absent"),
        (b"this is no database, however long it may go on and on", "file is not a database"),
        (b"", "table orders is gone"),
    ],
)
def test_what_is_no_database_fails(content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "shop.db").write_bytes(content)
    verifier = SqlState.model_validate({"database": "shop.db", "expect": {"orders": {"rows": []}}})
    verdict = judge(verifier, evidence(world=tmp_path))
    assert verdict.passed is False
    assert says in verdict.message


def test_a_database_outside_the_world_is_not_read(tmp_path: Path) -> None:
    judged(tmp_path / "outside", REFUND, after=REFUND)
    (tmp_path / "world").mkdir()
    (tmp_path / "world/shop.db").symlink_to(tmp_path / "outside/shop.db")
    context = {"initial_sql": {"shop.db": INITIAL}}
    verifier = SqlState(database="shop.db", after=REFUND)
    verdict = judge(verifier, evidence(world=tmp_path / "world", context=context))
    assert verdict.passed is False
    assert "outside the world" in verdict.message


def test_broken_text_and_blobs_are_compared(tmp_path: Path) -> None:
    done = "INSERT INTO log VALUES (CAST(x'ff41' AS TEXT)), (x'00ff')"
    assert judged(tmp_path, done, after=done).passed is True
    assert judged(tmp_path, done, changes={}).passed is False
    rows = [{"line": "\ufffdA"}, {}]
    assert judged(tmp_path, done, expect={"log": {"rows": rows}}).passed is True


def test_a_hostile_database_is_stopped(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n"
    done = f"DROP TABLE log; CREATE VIEW log AS {endless}"
    query = {"sql": "SELECT count(*) FROM log", "rows": [[0]]}
    verdict = judged(tmp_path, done, queries=[query])
    assert verdict.passed is False
    assert "interrupted" in verdict.message


def test_uncommitted_and_write_ahead_work_is_seen_as_the_database_would(tmp_path: Path) -> None:
    judged(tmp_path, "", changes={})
    writer = sqlite3.connect(tmp_path / "shop.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute(REFUND)  # committed, still in the write-ahead file
    writer.execute("BEGIN")
    writer.execute("DELETE FROM orders")  # never committed
    before = sorted(path.name for path in tmp_path.iterdir())
    verifier = SqlState(database="shop.db", after=REFUND)
    context = {"initial_sql": {"shop.db": INITIAL}}
    assert judge(verifier, evidence(world=tmp_path, context=context)).passed is True
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    writer.close()
