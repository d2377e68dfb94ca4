"""docs/promises.md lists every promise with the test that shows it, or says that it is open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = ROOT / "docs" / "promises.md"
REQUIREMENTS = ROOT.parent / "shared" / "requirements.md"
ROW = re.compile(r"^\| ([A-Z]+-\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/.]+|benchmarks/[\w/.]+)`")


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall(PROMISES.read_text())


@pytest.mark.skipif(not REQUIREMENTS.exists(), reason="the requirements are not here")
def test_the_list_is_the_requirements_list() -> None:
    wanted = re.findall(r"^- ([A-Z]+-\d+) ", REQUIREMENTS.read_text(), re.MULTILINE)
    assert [promise for promise, _, _ in rows()] == wanted


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_promise_is_open_or_shown(row: tuple[str, str, str]) -> None:
    _, _, shown = row
    if shown.startswith("open"):
        return
    named = TEST.findall(shown)
    assert named, "name the test that shows it, or write: open"
    for path in named:
        assert (ROOT / path).exists(), f"{path} does not exist"
