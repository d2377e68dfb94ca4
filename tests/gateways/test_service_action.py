"""One operation as an action: what is written when, and how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fault_rig import Around
from proofrig.errors import Denied, ProofrigError
from proofrig.faults._kill_points import KillPoint
from proofrig.faults.cache_flush import CacheFlush
from proofrig.faults.fault import Fault
from proofrig.faults.kill import Kill
from proofrig.faults.latency import Latency
from proofrig.faults.lock_expiry import LockExpiry
from proofrig.faults.pause import Pause
from proofrig.gateways.gateway import Binding
from proofrig.gateways.service_action import Asker
from proofrig.services.service import Misasked
from service_rig import OTHER, ServiceRig, service_rig
from tool_rig import BINDING, disturb

MEMORY = {"type": "kv", "name": "memory"}
LOCK = {"type": "lock", "name": "jobs"}
ACME, GLOBEX = Asker(BINDING, "path"), Asker(OTHER, "path")


async def call(rig: ServiceRig, what: str, asker: Asker = ACME, **arguments: Any) -> Any:
    service, _, operation = what.partition(".")
    return (await rig.calls.call(asker, service, operation, arguments)).done


async def until(rig: ServiceRig, kind: str, name: str = "") -> None:
    for _ in range(1000):
        if rig.entries(kind, name):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"no {kind} {name} was written")


async def test_an_operation_is_reserved_started_and_committed(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        await call(rig, "memory.put", key="a", value={"x": 1})
        await call(rig, "memory.get", GLOBEX, key="a")
        put, get = rig.actions()
        assert (put.name, put.trial, put.tenant, put.outcome) == ("kv.put", "case:0", "acme", "ok")
        assert put.reserve and put.reserve.attrs["channel"] == "path"
        assert put.start and put.start.attrs == {
            "service": "memory",
            "key": "a",
            "value": '{"x":1}',
        }
        assert (put.attr("version"), put.attr("actual")["calls:service"]) == (1, 1)
        assert (get.name, get.attr("owner"), get.attr("value")) == ("kv.get", "acme", '{"x":1}')
        assert rig.payload(get.attr("payload")) == b'{"x":1}'
        spent = rig.context.authority.balances("acme")
        assert (spent["calls"].spent, spent["calls:service"].spent) == (1, 1)


async def test_what_begins_is_on_the_disk_before_it_takes_effect(tmp_path: Path) -> None:
    seen: list[tuple[str, str, list[str]]] = []

    def kills(point: str, binding: Binding, action: str) -> None:
        written = b"".join(one.read_bytes() for one in rig.run_dir.rglob("*.jsonl"))
        kinds = [one for one in ("reserve", "start", "commit") if f'"{one}"' in written.decode()]
        seen.append((point, binding.trial, kinds))

    async with service_rig(tmp_path, [MEMORY], kills=kills) as rig:
        await call(rig, "memory.get", key="a")
        assert seen == [], "only what changes something is killed"
        await call(rig, "memory.put", key="a", value=1)
        assert [one[:2] for one in seen] == [("before_write", "case:0"), ("after_write", "case:0")]
        assert {"reserve", "start"} <= set(seen[0][2])


async def test_a_trial_killed_before_a_write_has_not_written(tmp_path: Path) -> None:
    def kills(point: str, binding: Binding, action: str) -> bool:
        return point == "before_write"

    async with service_rig(tmp_path, [MEMORY], kills=kills) as rig:
        with pytest.raises(ProofrigError, match="was killed before the write"):
            await call(rig, "memory.put", key="a", value=1)
        assert (await call(rig, "memory.get", key="a")).result["value"] is None
        put = rig.actions()[0]
        assert (put.outcome, "killed" in put.attr("reason")) == ("fail", True)
        assert put.end is not None and put.end.kind == "release"


async def test_inside_a_tool_call_only_the_operation_is_charged(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        await call(rig, "memory.put", Asker(BINDING, parent="rig.7"), key="a", value="v" * 300)
        (put,) = rig.actions()
        assert (put.attr("parent"), put.attr("actual")) == ("rig.7", {"calls:service": 1})
        assert put.attr("value").startswith("blake2:")
        assert rig.payload(put.attr("payload")) == b"v" * 300
        assert "calls" not in rig.context.authority.balances("acme")


async def test_a_refusal_is_a_failed_action(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        refused = await call(rig, "memory.cas", key="a", value=1, expected=3)
        assert refused.status == 409
        (cas,) = rig.actions()
        assert (cas.outcome, cas.attr("version"), cas.attr("expected")) == ("fail", 0, 3)
        assert "expected version 3, it is 0" in cas.attr("error")


async def test_a_denied_operation_never_takes_effect(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        rig.context.authority.set_budget("acme", {"calls:service": 1})
        await call(rig, "memory.put", key="a", value=1)
        with pytest.raises(Denied):
            await call(rig, "memory.put", key="a", value=2)
        assert (await call(rig, "memory.get", GLOBEX, key="a")).result["value"] == 1
        assert [one.denied for one in rig.actions()] == [False, True, False]


async def test_what_cannot_be_asked_is_a_note(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        for what in ("memry.get", "memory.gett", "memory.get"):
            with pytest.raises(Misasked):
                await call(rig, what)
        notes = rig.entries("note", "misasked")
        assert [(one.trial, one.attrs["operation"]) for one in notes] == [
            ("case:0", "get"),
            ("case:0", "gett"),
            ("case:0", "get"),
        ]
        assert "did you mean memory?" in notes[0].attrs["error"]
        assert rig.actions() == []


async def test_others_get_in_between_effect_and_answer(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY | {"latency_ms": 40}]) as rig:
        reads = [
            asyncio.create_task(call(rig, "memory.get", one, key="a")) for one in (ACME, GLOBEX)
        ]
        versions = {(await read).result["version"] for read in reads}
        assert versions == {0}
        for action in rig.actions():
            assert action.start and action.end and action.attr("service_ns") >= 40_000_000
        first, second = rig.actions()
        assert first.start and first.end and second.start and second.start.t < first.end.t


async def test_concurrent_calls_are_inside_until_they_are_answered(tmp_path: Path) -> None:
    quota = {"type": "quota", "name": "api", "limit": "concurrency", "capacity": 2}
    async with service_rig(tmp_path, [quota | {"latency_ms": 20}]) as rig:
        for _ in range(2):
            found = await asyncio.gather(*(call(rig, "api.take") for _ in range(3)))
            assert sorted(one.status for one in found) == [200, 200, 429]


async def test_the_end_of_a_trial_ends_its_waiting_and_keeps_its_lock(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [LOCK | {"ttl_s": 0.15}]) as rig:
        await call(rig, "jobs.acquire", key="a")
        waiting = asyncio.create_task(call(rig, "jobs.acquire", GLOBEX, key="a", wait_s=60))
        await asyncio.sleep(0)
        rig.context.bindings.end(OTHER.token)
        ended = rig.actions()[1]
        assert (ended.outcome, ended.trial) == ("fail", "case:1"), "before the end is told"
        assert (await waiting).status == 409
        with pytest.raises(Misasked, match="has ended"):
            await call(rig, "jobs.acquire", GLOBEX, key="a")
        assert len(rig.entries("note", "late")) == 1
        rig.context.bindings.end(BINDING.token)
        assert rig.entries("note", "lock_expired") == []
        await until(rig, "note", "lock_expired")
        (note,) = rig.entries("note", "lock_expired")
        assert note.attrs == {"service": "jobs", "key": "a", "holder": "case:0", "fencing": 1}


async def test_time_hands_a_lock_on_without_anybody_asking(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [LOCK | {"ttl_s": 0.05}]) as rig:
        await call(rig, "jobs.acquire", key="a")
        got = await call(rig, "jobs.acquire", GLOBEX, key="a", wait_s=60)
        assert got.attrs["fencing"] == 2 and got.attrs["waited_ns"] > 30_000_000


@pytest.mark.parametrize(
    ("operation", "arguments", "outcome"),
    [("put", {"key": "a", "value": 1}, "ok"), ("get", {"key": "a"}, "unknown")],
)
async def test_one_whose_caller_goes_away_ends_as_what_it_came_to(
    tmp_path: Path, operation: str, arguments: dict[str, Any], outcome: str
) -> None:
    async with service_rig(tmp_path, [MEMORY | {"latency_ms": 60_000}]) as rig:
        task = asyncio.create_task(call(rig, f"memory.{operation}", **arguments))
        await until(rig, "start")
        task.cancel()
        await asyncio.wait([task])
        (action,) = rig.actions()
        assert (action.outcome, "went away" in action.attr("error")) == (outcome, True)


async def test_closing_gives_up_what_waits(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [LOCK]) as rig:
        await call(rig, "jobs.acquire", key="a")
        task = asyncio.create_task(call(rig, "jobs.acquire", GLOBEX, key="a", wait_s=60))
        await until(rig, "commit")
        await asyncio.sleep(0)
        rig.calls.close()
        assert [one.outcome for one in rig.actions()] == ["ok", "fail"]
        task.cancel()
        await asyncio.wait([task])


async def test_what_is_kept_and_what_is_read_can_be_searched(tmp_path: Path) -> None:
    services = [
        {"type": "semantic_cache", "name": "answers"},
        {"type": "queue", "name": "work"},
    ]
    async with service_rig(tmp_path, services) as rig:
        await call(rig, "answers.put", query="Where is it?", answer="Oslo")
        await call(rig, "answers.get", GLOBEX, query="Where is it?")
        await call(rig, "work.publish", body={"for": "you"})
        await call(rig, "work.receive", GLOBEX)
        put, get, publish, receive = rig.actions()
        assert put.start and publish.start and get.end and receive.end
        texts = [one.attrs["payload"] for one in (put.start, get.end, publish.start, receive.end)]
        assert [rig.payload(one) for one in texts] == [b"Oslo"] * 2 + [b'{"for":"you"}'] * 2
        assert (get.attr("hit"), get.attr("owner"), get.attr("entry")) == (
            True,
            "acme",
            put.attr("entry"),
        )


async def test_what_waits_for_leave_has_no_effect_when_its_trial_ends(tmp_path: Path) -> None:
    policy = {"rules": [{"name": "puts-ask", "ask": "kv.put", "wait_s": 30}]}
    async with service_rig(tmp_path, [MEMORY], policy=policy) as rig:
        waiting = asyncio.create_task(call(rig, "memory.put", key="a", value=1))
        await until(rig, "reserve")
        assert (await call(rig, "memory.get", GLOBEX, key="a")).result["version"] == 0
        rig.context.bindings.end(BINDING.token)
        with pytest.raises(Denied, match="trial_ended"):
            await waiting
        put, _ = rig.actions()
        assert put.start is None and put.end is not None
        assert put.end.attrs == {"reason": "trial_ended"}
        assert (await call(rig, "memory.get", GLOBEX, key="a")).result["version"] == 0


def disturbed(rig: ServiceRig, *faults: Fault, waits: bool = False) -> Around:
    return disturb(rig.context, faults, rig.calls.services, waits=waits)


async def test_faults_strike_before_an_operation_is_carried_out(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY, LOCK]) as rig:
        around = disturbed(
            rig, Latency(on={"name": "kv.put"}), Pause(on={"service": "jobs"}, for_s=60)
        )
        await call(rig, "memory.put", key="a", value=1)
        await call(rig, "memory.get", key="a")
        await call(rig, "jobs.acquire", key="j")
        put, get, acquire = rig.actions()
        assert [one.outcome for one in (put, get, acquire)] == ["ok"] * 3
        assert [one.attr("struck") for one in (put, get, acquire)] == [["latency"], None, ["pause"]]
        assert [(one.faults[0].name, one.faults[0].attrs["at"]) for one in (put, acquire)] == [
            ("latency", "service"),
            ("pause", "service"),
        ]
        assert around.done == [("pause", BINDING.token)]


@pytest.mark.parametrize(("point", "there"), [("before_call", None), ("after_call", 1)])
async def test_a_killed_trial_has_done_it_or_not(tmp_path: Path, point: Any, there: Any) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        disturbed(rig, Kill(point=point, on={"name": "kv.put"}))
        with pytest.raises(ProofrigError, match="a fault ended the call"):
            await call(rig, "memory.put", key="a", value=1)
        assert (await call(rig, "memory.get", GLOBEX, key="a")).result["value"] == there
        put, _ = rig.actions()
        assert put.end is not None and [one.name for one in put.faults] == ["kill"]
        assert put.end.kind == ("commit" if there else "release")
        assert (put.outcome == "ok") is bool(there)
        assert rig.context.authority.balances("acme")["calls:service"].reserved == 0


async def test_a_lock_that_is_taken_away_goes_to_who_waits(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [LOCK]) as rig:
        disturbed(rig, LockExpiry(on={"tenant": "acme", "nth": 2}, service="jobs"))
        assert (await call(rig, "jobs.acquire", key="j")).result["fencing"] == 1
        waiting = asyncio.create_task(call(rig, "jobs.acquire", GLOBEX, key="j", wait_s=30))
        await until(rig, "start", "lock.acquire")
        renewed = await call(rig, "jobs.renew", key="j")
        assert (renewed.status, renewed.attrs) == (409, {"expired": True})
        assert (await waiting).result["fencing"] == 2
        (note,) = rig.entries("note", "lock_expired")
        assert (note.attrs["holder"], note.attrs["fencing"]) == ("case:0", 1)
        (struck,) = rig.entries("fault", "lock_expiry")
        assert (struck.attrs["service"], struck.attrs["keys"]) == ("jobs", ["j"])


async def test_a_lock_that_was_given_on_runs_out_too(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [LOCK]) as rig:
        disturbed(rig, LockExpiry(on={"tenant": "acme", "nth": 2}, service="jobs"))
        await call(rig, "jobs.acquire", key="j")
        waiting = asyncio.create_task(
            call(rig, "jobs.acquire", GLOBEX, key="j", wait_s=30, ttl_s=0.05)
        )
        await until(rig, "start", "lock.acquire")
        await asyncio.sleep(0)
        await call(rig, "jobs.release", key="j")
        await waiting
        for _ in range(1000):
            if len(rig.entries("note", "lock_expired")) == 2:
                break
            await asyncio.sleep(0.005)
        holders = [note.attrs["holder"] for note in rig.entries("note", "lock_expired")]
        assert holders == ["case:0", "case:1"]


async def test_a_memory_forgets(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        disturbed(rig, CacheFlush(service="memory", on={"name": "kv.get"}))
        await call(rig, "memory.put", key="a", value=1)
        assert (await call(rig, "memory.get", key="a")).result == {"value": None, "version": 1}
        (note,) = rig.entries("note", "flushed")
        assert note.attrs == {"service": "memory", "entries": 1}


async def test_a_kill_in_a_write_that_a_suite_declares_is_with_the_action(tmp_path: Path) -> None:
    point = KillPoint("after_write", fault="torn", number=4)
    binding = msgspec.structs.replace(BINDING, kill=point)

    def kills(at: str, binding: Binding, action: str) -> bool:
        return at == "after_write"

    async with service_rig(tmp_path, [MEMORY], kills=kills) as rig:
        rig.context.bindings.add(binding)
        await call(rig, "memory.put", Asker(binding), key="a", value=1)
        assert rig.actions()[0].attr("struck") == ["torn"]


async def test_what_struck_stands_on_a_release_and_on_what_a_trial_left(tmp_path: Path) -> None:
    async with service_rig(tmp_path, [MEMORY]) as rig:
        disturbed(rig, Latency(on={"name": "kv.get"}, ms=60_000), waits=True)
        asking = asyncio.create_task(call(rig, "memory.get", key="a"))
        await until(rig, "fault", "latency")
        rig.context.bindings.end(BINDING.token)
        with pytest.raises(ProofrigError):
            await asking
        (get,) = rig.actions()
        assert (get.outcome, get.attr("struck")) == ("fail", ["latency"])
    killed = tmp_path / "killed"
    killed.mkdir()
    async with service_rig(killed, [MEMORY]) as rig:
        disturbed(rig, Kill(on={"name": "kv.put"}))
        with pytest.raises(ProofrigError):
            await call(rig, "memory.put", key="a", value=1)
        (put,) = rig.actions()
        assert put.end is not None
        assert (put.end.kind, put.attr("struck")) == ("release", ["kill"])
