"""Connections that nobody gives back for a while."""

from __future__ import annotations

from fault_rig import CALL, Bench, whole
from proofrig.faults.pool_hold import PoolHold


async def test_connections_are_held_and_given_back_at_the_end_of_the_trial() -> None:
    bench = Bench([PoolHold(connections=3, for_s=60)])
    seen = await bench.through(lambda: whole(b"{}"))
    assert (seen.calls, bench.around.done) == (1, [("hold", 1)] * 3)
    bench.injector.end(CALL.trial)
    bench.injector.end(CALL.trial)
    assert bench.around.done == [("hold", 1)] * 3 + [("give_back", 1)] * 3
    assert [(fact["connections"], fact["lasts_ns"]) for fact in bench.facts] == [(3, 60 * 10**9)]


async def test_a_provider_without_a_cap_is_not_struck() -> None:
    bench = Bench([PoolHold()])
    bench.around.pool = False
    assert (await bench.through(lambda: whole(b"{}"))).calls == 1
    assert bench.facts == []


async def test_it_says_how_many_were_free() -> None:
    bench = Bench([PoolHold(connections=3)])
    free = 2

    def hold(call: object, connections: int) -> object:
        nonlocal free
        free -= connections
        return (lambda: None) if free >= 0 else None

    bench.around.hold = hold  # type: ignore[method-assign,assignment]
    await bench.through(lambda: whole(b"{}"))
    assert [fact["connections"] for fact in bench.facts] == [2]
