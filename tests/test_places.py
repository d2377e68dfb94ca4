"""What to write on a command line for a run and for a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.places import default_root, in_repository, root_option, run_name, shortest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory is `tmp_path/here`, and nothing is said of a root."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("PROOFRIG_ROOT", raising=False)
    return tmp_path / "here"


def test_a_run_below_the_default_root_is_named_by_its_id(here: Path) -> None:
    assert run_name(here / ".proofrig" / "runs" / "r-1") == "r-1"
    assert root_option(here / ".proofrig" / "runs" / "r-1") == ""


def test_a_run_elsewhere_is_named_by_its_path_and_keeps_its_root(here: Path) -> None:
    run_dir = here / "my kept" / "runs" / "r-1"
    assert run_name(run_dir) == "'my kept/runs/r-1'"
    assert root_option(run_dir) == " --root 'my kept'"
    assert root_option(here / "copied") == ""


def test_the_environment_names_the_default_root(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFRIG_ROOT", str(here / "kept"))
    assert default_root() == here / "kept"
    assert run_name(here / "kept" / "runs" / "r-1") == "r-1"
    assert run_name(here / ".proofrig" / "runs" / "r-1") == ".proofrig/runs/r-1"


def test_a_path_is_relative_where_that_is_shorter(here: Path) -> None:
    assert shortest(here / "suites" / "suite.yaml") == "suites/suite.yaml"
    assert shortest(here.parent / "suite.yaml") == "../suite.yaml"
    assert shortest(Path("/suite.yaml")) == "/suite.yaml"


def test_a_file_is_named_as_its_repository_does(here: Path) -> None:
    assert in_repository(Path("suites/suite.yaml")) == "suites/suite.yaml"
    assert in_repository(here.parent / "suite.yaml") == f"{here.parent}/suite.yaml"
    (here.parent / ".git").mkdir()
    assert in_repository(Path("suites/suite.yaml")) == "here/suites/suite.yaml"
    assert in_repository(here.parent / "suite.yaml") == "suite.yaml"
    (here / ".git").write_text("gitdir: elsewhere")  # a submodule's or a worktree's
    assert in_repository(Path("suites/suite.yaml")) == "suites/suite.yaml"
