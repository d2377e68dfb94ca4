"""Locks that are taken away: from whom, when, and who may have them then."""

from __future__ import annotations

from fault_rig import Bench, call_at, whole
from proofrig.faults.lock_expiry import LockExpiry
from proofrig.wire.answer import Made
from proofrig.wire.outbound import Outbound
from service_rig import ACME, GLOBEX, Clock, done, make


def bench(fault: LockExpiry) -> Bench:
    made = Bench([fault])
    made.around.services["jobs"] = make({"type": "lock", "name": "jobs"}, Clock())
    return made


def call(name: str = "lock.acquire", surface: str = "service") -> Outbound:
    return call_at(surface, name=name, trial=ACME.trial, service="jobs")


async def test_a_lock_is_lost_as_soon_as_it_is_acquired() -> None:
    rig = bench(LockExpiry())
    lock = rig.around.services["jobs"]

    def acquire() -> Made:
        return whole(b"") if done(lock, "acquire", key="a").status == 200 else Made(409)

    done(lock, "acquire", GLOBEX, key="theirs")
    await rig.through(acquire, call())
    assert [fact["keys"] for fact in rig.facts] == [["a"]]
    assert done(lock, "acquire", GLOBEX, key="a").result["fencing"] == 3
    assert done(lock, "release", key="a").attrs == {"expired": True}
    assert done(lock, "release", GLOBEX, key="theirs").status == 200


async def test_any_call_may_cost_the_lock_that_is_named() -> None:
    rig = bench(LockExpiry(service="jobs", key="a*"))
    lock = rig.around.services["jobs"]
    await rig.through(lambda: whole(b""), call("tool.refund", "tool"))
    assert rig.facts == []  # it holds none
    for key in ("a1", "b1", "a2"):
        done(lock, "acquire", key=key)
    await rig.through(lambda: whole(b""), call("tool.refund", "tool"))
    assert [fact["keys"] for fact in rig.facts] == [["a1", "a2"]]
    assert done(lock, "release", key="b1").status == 200


async def test_other_operations_cost_nothing_by_default() -> None:
    rig = bench(LockExpiry())
    done(rig.around.services["jobs"], "acquire", key="a")
    await rig.through(lambda: whole(b""), call("lock.renew"))
    await rig.through(lambda: whole(b""), call("llm.messages", "llm"))
    assert rig.facts == []
