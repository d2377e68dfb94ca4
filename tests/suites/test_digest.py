"""Digests: they follow content, wherever it stands, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from proofrig.suites.digest import digest_of, file_digest


def test_key_order_and_place_do_not_matter_but_values_do(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.sql").write_text("select 1")
    one = digest_of({"p": 1, "q": "x.sql"}, tmp_path / "a")
    assert digest_of({"q": "x.sql", "p": 1}, tmp_path / "b") == one
    assert digest_of({"q": "x.sql", "p": 2}, tmp_path / "a") != one


def test_a_named_file_stands_for_its_content(tmp_path: Path) -> None:
    said = {"deep": [{"command": ["python", "{suite}/check.py"], "target": "lib.tools"}]}
    before = digest_of(said, tmp_path)
    (tmp_path / "check.py").write_text("1")
    with_check = digest_of(said, tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "tools.py").write_text("1")
    with_tools = digest_of(said, tmp_path)
    (tmp_path / "lib" / "tools.py").write_text("22")
    assert len({before, with_check, with_tools, digest_of(said, tmp_path)}) == 4
    (tmp_path / "unnamed.py").write_text("1")
    assert digest_of(said, tmp_path) == digest_of(said, tmp_path)


def test_folders_count_when_they_are_named_by_the_caller(tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "f.txt").write_text("1")
    as_text = digest_of(["data"], tmp_path)
    one = digest_of(["data"], tmp_path, ["data"])
    (tmp_path / "data" / "sub" / "f.txt").write_text("22")
    (tmp_path / "data" / "__pycache__").mkdir()
    two = digest_of(["data"], tmp_path, ["data"])
    (tmp_path / "data" / "__pycache__" / "f.pyc").write_text("1")
    assert digest_of(["data"], tmp_path) == as_text
    assert len({as_text, one, two}) == 3
    assert digest_of(["data"], tmp_path, ["data"]) == two


def test_nothing_outside_the_suite_is_read(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (tmp_path / "secret.txt").write_text("1")
    os.symlink(tmp_path, suite / "up")
    said = ["../secret.txt", str(tmp_path / "secret.txt"), "up/secret.txt", "a\nb.txt", "x" * 300]
    before = digest_of(said, suite, ["up"])
    (tmp_path / "secret.txt").write_text("22")
    assert digest_of(said, suite, ["up"]) == before


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    first = file_digest(file)
    file.write_text("two!")
    assert file_digest(file) != first
