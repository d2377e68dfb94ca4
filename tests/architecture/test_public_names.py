"""The public list is complete, sorted, documented, and cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import proofrig


def test_the_list_is_sorted_and_says_where_each_name_lives() -> None:
    assert sorted(proofrig.__all__) == proofrig.__all__
    assert set(proofrig.__all__) == set(proofrig._HOME_OF)
    assert dir(proofrig) == proofrig.__all__


@pytest.mark.parametrize("name", proofrig.__all__)
def test_every_name_is_there_and_explains_itself(name: str) -> None:
    found = getattr(proofrig, name)
    assert inspect.getdoc(found), f"{name} has no docstring"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sweet'"):
        proofrig.Sweet  # noqa: B018


def test_import_costs_nothing() -> None:
    program = "import sys, proofrig; print(*[m for m in sys.modules if m.startswith('proofrig')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["proofrig"]
