"""Real specimens, one run of each: what is bad is found, with a witness that tells what really
happened; what is good is flagged by no checker. `power.py` runs them often."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from specimens.real import SPECIMENS
from specimens.real.judging import run_and_judge
from specimens.real.lab import Specimen

SEED = 7


@pytest.mark.parametrize(
    "specimen", SPECIMENS, ids=[f"{one.name}: {one.variant}" for one in SPECIMENS]
)
def test_what_is_bad_is_found_and_what_is_good_is_not_flagged(
    specimen: Specimen, tmp_path: Path
) -> None:
    if specimen.variant.startswith("Redis: ") and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    result = run_and_judge(specimen, tmp_path, SEED)
    assert result.happened == (specimen.expected is not None), "it is not as it was built"
    assert result.problems == []
    if specimen.expected is None:
        assert (result.flagged, result.others) == (False, []), result.checked
    else:
        found = (result.flagged, result.as_expected, result.true)
        assert found == (True, True, True), result.checked


def test_every_class_has_bad_and_good_ones() -> None:
    for checker in {one.checker for one in SPECIMENS}:
        mine = [one for one in SPECIMENS if one.checker == checker]
        assert sum(one.expected is not None for one in mine) >= 2, checker
        assert sum(one.expected is None for one in mine) >= 2, checker
