"""The rate of the time stamp counter."""

from __future__ import annotations

import platform

import pytest

from proofrig.sandboxes.qemu.tsc import STEP_KHZ, tsc_khz


@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs a processor of type x86_64")
def test_the_rate_is_one_that_processors_have_and_stays_the_same() -> None:
    rate = tsc_khz()
    assert 500_000 < rate < 10_000_000 and rate % STEP_KHZ == 0
    tsc_khz.cache_clear()
    assert abs(tsc_khz() - rate) <= 50 * STEP_KHZ
