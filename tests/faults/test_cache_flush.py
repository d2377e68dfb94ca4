"""Memories and caches that forget."""

from __future__ import annotations

from fault_rig import Bench, call_at, whole
from proofrig.faults.cache_flush import CacheFlush
from service_rig import Clock, done, make


async def test_what_was_kept_is_forgotten_before_the_call() -> None:
    bench = Bench([CacheFlush(service="memory", times=1)])
    memory = bench.around.services["memory"] = make({"type": "kv", "name": "memory"}, Clock())
    for key in ("a", "b"):
        done(memory, "put", key=key, value=1)
    found = list[object]()

    def read() -> object:
        found.append(done(memory, "get", key="a").result)
        return whole(b"")

    await bench.through(read, call_at("service", name="kv.get"))  # type: ignore[arg-type]
    assert found == [{"value": None, "version": 1}]
    assert [(fact["service"], fact["entries"]) for fact in bench.facts] == [("memory", 2)]


async def test_what_is_no_memory_is_not_struck() -> None:
    bench = Bench([CacheFlush(service="jobs"), CacheFlush(service="nothing")])
    bench.around.services["jobs"] = make({"type": "lock", "name": "jobs"}, Clock())
    assert (await bench.through(lambda: whole(b""))).calls == 1
    assert bench.facts == []


async def test_a_memory_that_holds_nothing_is_not_struck() -> None:
    bench = Bench([CacheFlush(service="memory")])
    bench.around.services["memory"] = make({"type": "kv", "name": "memory"}, Clock())
    assert (await bench.through(lambda: whole(b""))).facts == []
