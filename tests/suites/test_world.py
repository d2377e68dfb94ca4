"""Worlds: what a trial finds, what is said of it, what is never followed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proofrig.errors import SandboxError, SuiteError
from proofrig.suites.case import Case
from proofrig.suites.world import Manifest, WorldStart, build_world, manifest


def case(world: dict[str, Any] | None) -> Case:
    verify = [{"type": "exact", "value": "x"}]
    return Case.model_validate({"id": "c", "task": "t", "verify": verify, "world": world})


def rows(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_case_without_a_world_makes_nothing(tmp_path: Path) -> None:
    assert build_world(case(None), tmp_path, tmp_path / "w") == WorldStart()
    assert not (tmp_path / "w").exists()


def test_an_empty_world_is_an_empty_folder(tmp_path: Path) -> None:
    start = build_world(case({}), tmp_path, tmp_path / "w")
    assert start == WorldStart(tmp_path / "w")
    assert list((tmp_path / "w").iterdir()) == []


def test_files_and_databases_are_there_and_listed(tmp_path: Path) -> None:
    (tmp_path / "seed" / "sub").mkdir(parents=True)
    (tmp_path / "seed" / "sub" / "run.sh").write_bytes(b"#!/bin/sh\n\xff")
    (tmp_path / "seed" / "sub" / "run.sh").chmod(0o755)
    (tmp_path / "seed" / "note.txt").write_text("from the folder")
    (tmp_path / "schema.sql").write_text("create table orders (id integer primary key, cents);\n")
    made = case(
        {
            "files_from": "seed",
            "files": {"note.txt": "from the case", "a/b/c.txt": "é"},
            "databases": {"db/shop.db": ["schema.sql", "insert into orders values (1, 5)"]},
        }
    )
    start = build_world(made, tmp_path, tmp_path / "w")
    assert (tmp_path / "w" / "note.txt").read_text() == "from the case"
    assert os.access(tmp_path / "w" / "sub" / "run.sh", os.X_OK)
    assert rows(tmp_path / "w" / "db" / "shop.db", "select * from orders") == [(1, 5)]
    assert start.before["a/b/c.txt"] == sha("é".encode())
    assert start.before == manifest(tmp_path / "w").files
    assert start.initial_sql == {
        "db/shop.db": "create table orders (id integer primary key, cents);\n\n"
        "insert into orders values (1, 5)"
    }


def test_trials_do_not_share_their_worlds(tmp_path: Path) -> None:
    made = case({"files": {"f": "1"}, "databases": {"a.db": "create table t (a)"}})
    build_world(made, tmp_path, tmp_path / "one")
    (tmp_path / "one" / "f").write_text("changed")
    with closing(sqlite3.connect(tmp_path / "one" / "a.db")) as connection, connection:
        connection.execute("insert into t values (1)")
    build_world(made, tmp_path, tmp_path / "two")
    assert (tmp_path / "two" / "f").read_text() == "1"
    assert rows(tmp_path / "two" / "a.db", "select * from t") == []


def test_a_changed_schema_makes_another_world(tmp_path: Path) -> None:
    made = case({"databases": {"a.db": "s.sql"}})
    (tmp_path / "s.sql").write_text("create table t (a)")
    build_world(made, tmp_path, tmp_path / "one")
    (tmp_path / "s.sql").write_text("create table t (a, b, c)")
    build_world(made, tmp_path, tmp_path / "two")
    assert len(rows(tmp_path / "two" / "a.db", "pragma table_info(t)")) == 3


def test_triggers_transactions_and_quoted_semicolons_are_one_statement(tmp_path: Path) -> None:
    sql = """
    begin;
    create table t (a); create table log (a);
    create trigger g after insert on t begin insert into log values (new.a); select 1; end;
    insert into t values ('x;y'); -- done; really
    commit;
    """
    build_world(case({"databases": {"a.db": sql}}), tmp_path, tmp_path / "w")
    assert rows(tmp_path / "w" / "a.db", "select * from log") == [("x;y",)]


def test_sql_that_fails_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "s.sql").write_text("create table t (a);\n\ninsert into nope\nvalues (1);\n")
    with pytest.raises(SuiteError) as caught:
        build_world(case({"databases": {"a.db": "s.sql"}}), tmp_path, tmp_path / "w")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(tmp_path / "s.sql"), 3)
    assert "no such table: nope" in problem.message
    assert not (tmp_path / "w").exists()


def test_a_folder_that_cannot_be_written_is_infrastructure(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("in the way")
    with pytest.raises(SandboxError, match="world of case c"):
        build_world(case({"files": {"f": ""}}), tmp_path, tmp_path / "w")


def test_links_in_a_seed_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "f").write_text("1")
    os.symlink(tmp_path / "secret", tmp_path / "seed" / "link")
    start = build_world(case({"files_from": "seed"}), tmp_path, tmp_path / "w")
    assert list(start.before) == ["f"]


def test_a_listing_follows_no_link_and_opens_no_pipe(tmp_path: Path) -> None:
    world = tmp_path / "w"
    world.mkdir()
    (world / "sub").mkdir()
    (world / "sub" / "f").write_bytes(b"1")
    os.symlink("/etc", world / "etc")
    os.symlink("nowhere", world / "gone")
    os.mkfifo(world / "pipe")
    assert manifest(world) == Manifest(
        {"etc": "link:/etc", "gone": "link:nowhere", "pipe": "special", "sub/f": sha(b"1")}
    )
    assert manifest(tmp_path / "none").files == {".": "unreadable"}


def test_a_world_of_nothing_but_tool_state_makes_nothing(tmp_path: Path) -> None:
    assert build_world(case({"state": {"n": 1}}), tmp_path, tmp_path / "w") == WorldStart()
    assert not (tmp_path / "w").exists()
    start = build_world(case({"state": {"n": 1}, "files": {"f": ""}}), tmp_path, tmp_path / "w")
    assert list(start.before) == ["f"]
