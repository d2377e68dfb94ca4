"""A call is passed on late: by so much, give or take, drawn from the seed."""

from __future__ import annotations

import pytest

from fault_rig import Bench, call_at, through, whole
from proofrig.faults.latency import Latency


@pytest.mark.parametrize("surface", Latency.surfaces)
async def test_the_call_waits_and_its_answer_is_untouched(surface: str) -> None:
    seen = await through([Latency(ms=1500)], whole(b'{"a": 1}'), call_at(surface, "plain"))
    assert seen.slept == [1.5]
    assert b"".join(seen.chunks) == b'{"a": 1}'
    assert [(one["fault"], one["lasts_ns"]) for one in seen.facts] == [("latency", 1_500_000_000)]


async def test_jitter_lies_around_it_and_is_never_negative() -> None:
    bench = Bench([Latency(ms=100, jitter_ms=300)])
    waits = [(await bench.through(whole(b"{}"))).slept[0] for _ in range(300)]
    assert all(0 <= wait <= 0.4 for wait in waits)
    assert min(waits) == 0 and max(waits) > 0.35
    assert len(set(waits)) > 150


async def test_the_same_seed_waits_the_same() -> None:
    async def waits(seed: int) -> list[float]:
        bench = Bench([Latency(jitter_ms=900)], seed=seed)
        return [(await bench.through(whole(b"{}"))).slept[0] for _ in range(5)]

    assert await waits(1) == await waits(1) != await waits(2)
