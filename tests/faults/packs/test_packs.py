"""The ready packs: each of their faults is one that there is, and can act where it is aimed."""

from __future__ import annotations

from collections import Counter

import pytest

from proofrig.faults import FAULTS
from proofrig.faults.fault import Fault
from proofrig.faults.packs import PACKS, pack
from proofrig.wire.outbound import SURFACES, Surface


def faults_of(name: str) -> list[Fault]:
    """The faults of a pack, each checked as a suite's own would be."""
    return [FAULTS[written["kind"]].model_validate(written) for written in pack(name)]


@pytest.mark.parametrize("name", PACKS)
def test_every_fault_is_one_that_there_is(name: str) -> None:
    unknown = {written["kind"] for written in pack(name)} - FAULTS.keys()
    assert unknown == set()
    assert len(faults_of(name)) == len(pack(name)) > 1


@pytest.mark.parametrize("name", PACKS)
def test_faults_of_a_pack_are_told_apart_by_their_titles(name: str) -> None:
    titles = Counter(fault.title for fault in faults_of(name))
    assert [title for title, times in titles.items() if times > 1] == []


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", PACKS)
def test_a_pack_is_gentle(name: str, surface: Surface) -> None:
    """Most calls pass; what strikes without chance has a limit of its own."""
    untouched = 1.0
    for fault in faults_of(name):
        at = fault.on.at or fault.surfaces
        if surface not in ((at,) if isinstance(at, str) else at):
            continue
        if fault.probability == 1:
            assert fault.kind in ("rate_limit", "token_expiry")
        elif fault.kind not in ("latency", "split_utf8", "stale_result"):  # answers stay whole
            untouched *= 1 - fault.probability
    assert untouched > 0.65


@pytest.mark.parametrize("name", PACKS)
def test_no_pack_waits_longer_than_a_minute(name: str) -> None:
    waits = [
        wait
        for fault in faults_of(name)
        for wait in (getattr(fault, "for_s", 0), getattr(fault, "s", 0), getattr(fault, "by_s", 0))
    ]
    assert max(waits) <= 60
