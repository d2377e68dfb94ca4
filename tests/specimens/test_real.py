"""Real specimens, one run of each: what is bad is found, with a witness that tells what really
happened; what is good is flagged by no checker. `power.py` runs them often."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from proofrig import checkers
from specimens.real import SPECIMENS
from specimens.real.judging import run_and_judge
from specimens.real.lab import Specimen

CHECKERS = {checker.name: checker for checker in checkers.CHECKERS}
SEED = 7
ATTEMPTS = 3  # to be as it was built: a busy machine prevents some troubles, and makes others


@pytest.mark.parametrize(
    "specimen", SPECIMENS, ids=[f"{one.name}: {one.variant}" for one in SPECIMENS]
)
def test_what_is_bad_is_found_and_what_is_good_is_not_flagged(
    specimen: Specimen, tmp_path: Path
) -> None:
    if specimen.variant.startswith("Redis: ") and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    bad = specimen.expected is not None
    for attempt in range(ATTEMPTS):
        result = run_and_judge(specimen, tmp_path / str(attempt), SEED + attempt)
        # On a busy machine there may be too little to tell in the time given; another seed tells.
        hasty = specimen.checker == "tenant_exhaustion" or CHECKERS[specimen.checker].timing
        told = result.flagged or not (bad and hasty)
        # What happens to the load of a good one there is the machine's doing, and no specimen's.
        made = not bad and any(CHECKERS[other].timing for other in result.others)
        if result.happened == bad and told and not made:
            break
    if result.happened != bad and CHECKERS[specimen.checker].timing:
        pytest.skip("the machine is too busy for it to be as it was built")
    assert result.happened == bad, "it is not as it was built"
    assert result.problems == []
    if not bad:
        assert (result.flagged, result.others) == (False, []), result.checked
    else:
        found = (result.flagged, result.as_expected, result.true)
        assert found == (True, True, True), result.checked


def test_every_class_has_bad_and_good_ones() -> None:
    for checker in {one.checker for one in SPECIMENS}:
        mine = [one for one in SPECIMENS if one.checker == checker]
        assert sum(one.expected is not None for one in mine) >= 2, checker
        assert sum(one.expected is None for one in mine) >= 2, checker
