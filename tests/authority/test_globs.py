"""Globs on names: broad to forbid, narrow to permit, and never slow."""

from __future__ import annotations

import time

import pytest

from proofrig.authority.globs import folded, glob_problem, matcher, specificity


@pytest.mark.parametrize(
    ("glob", "name", "narrow", "broad"),
    [
        ("tool.write_*", "tool.write_file", True, True),
        ("tool.write_*", "tool.write_", True, True),
        ("tool.write_?", "tool.write_", False, False),
        ("tool.*_file", "tool.write_file_file", True, True),
        ("a*b*c", "a-b-b-c", True, True),
        ("a*b*c", "a-c-b", False, False),
        ("*", "", True, True),
        ("tool.write", "tool.write\n", False, False),
        ("tool.a.b", "tool.a-b", False, False),
        ("tool.write", "tool.Write", False, True),
        ("tool.write", "tool.wr\u200bite", False, True),  # a space of no width
        ("tool.write", "tool.ｗrite", False, True),  # a fullwidth letter
        ("tool.café", "tool.cafe\u0301", False, True),
        ("tool.STRASSE", "tool.straße", False, True),
    ],
)
def test_a_name_matches(glob: str, name: str, narrow: bool, broad: bool) -> None:
    assert matcher([glob])(name) is narrow
    assert matcher([glob], broad=True)(name) is broad


def test_one_of_several_globs_is_enough() -> None:
    matches = matcher(["a", "b*"])
    assert [name for name in ("a", "ab", "bc", "c") if matches(name)] == ["a", "bc"]


@pytest.mark.parametrize("glob", ["", "*.{js,ts}", "[ab]*", "a\\b", " a", "a\0"])
def test_what_is_no_glob_is_refused(glob: str) -> None:
    assert glob_problem(glob).startswith("expected a glob")


def test_a_glob_is_accepted() -> None:
    assert glob_problem("tool.write_*") == ""


def test_no_name_makes_a_glob_slow() -> None:
    matches = matcher(["*a" * 20 + "b"], broad=True)
    begun = time.process_time()
    assert not matches("a" * 20_000)
    assert time.process_time() - begun < 2  # of CPU; tried in every way it would take years


def test_the_glob_that_pins_down_more_is_more_specific() -> None:
    globs = ["tool.read_a", "tool.read_?", "tool.read_*", "tool.*", "*"]
    assert sorted(globs, key=specificity) == globs[::-1]


def test_folding_is_stable() -> None:
    assert folded(folded("ﬀ İẞ\u00ad")) == folded("ﬀ İẞ\u00ad")
