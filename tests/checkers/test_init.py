"""Which checkers there are, and those that other packages add."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proofrig.checkers import CHECKERS, MODULES, all_checkers
from proofrig.errors import UsageError

CHECKER = """
class Mine:
    name, reads, notes, timing = "mine", (), (), False
    def __init__(self, setting): ...
    def action(self, action): ...
    def note(self, entry): ...
    def result(self): ...

class Half:
    name = "half"
"""


def test_each_module_holds_a_checker_of_its_name() -> None:
    assert [kind.name for kind in CHECKERS] == list(MODULES)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (tmp_path / "other_checks.py").write_text(CHECKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_checks", raising=False)
    return info


def test_other_packages_add_theirs(package: Path) -> None:
    (package / "entry_points.txt").write_text("[proofrig.checkers]\nmine = other_checks:Mine\n")
    assert [kind.name for kind in all_checkers()] == [*MODULES, "mine"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("half = other_checks:Half", "it lacks reads"),
        ("yours = other_checks:Mine", "its name is not 'yours'"),
        ("gone = other_checks:Gone", "could not load"),
    ],
)
def test_one_that_cannot_be_used_is_named(package: Path, entry: str, said: str) -> None:
    (package / "entry_points.txt").write_text(f"[proofrig.checkers]\n{entry}\n")
    with pytest.raises(UsageError, match=said):
        all_checkers()
