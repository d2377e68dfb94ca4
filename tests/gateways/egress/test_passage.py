"""A passage on the history and on the ledger."""

from __future__ import annotations

from pathlib import Path

from egress_rig import BINDING, EgressRig, egress_rig
from proofrig.gateways.egress.callers import Asked, Caller
from proofrig.gateways.egress.hosts import Place
from proofrig.gateways.egress.passage import Passage
from proofrig.gateways.limits import CallLimits, Limiter


def passage(rig: EgressRig, method: str = "GET") -> Passage:
    asked = Asked(method, Place("example.com", 443), {}, None, "/a")
    return rig.gateway._desk.passage(asked, Caller(BINDING, "proxy"), "intercepted")


async def test_it_is_reserved_started_and_settled_once(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, budget={"bytes": 100}) as rig:
        one = passage(rig)
        assert await one.begin("", b"body") is None
        assert rig.context.authority.balances("acme")["bytes"].reserved == 4
        assert (one.send(30), one.receive(12)) == (30, 12)
        one.settle("ok", status=200)
        one.settle("fail", status=500)
        one.give_up("agent", "late")
        assert rig.context.authority.balances("acme")["bytes"].spent == 42
        assert [entry.kind for entry in rig.entries()] == ["reserve", "start", "commit"]
        (action,) = rig.actions()
    assert action.attr("outcome") == "ok"
    assert action.attr("actual")["bytes"] == 42
    assert set(action.attr("actual")) == {"ms", "bytes"}


async def test_what_the_gateway_refuses_costs_nothing(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, budget={"bytes": 100}) as rig:
        refusal = await passage(rig).begin("metadata")
        assert refusal is not None and refusal.code == "metadata"
        balance = rig.context.authority.balances("acme")["bytes"]
        assert (balance.reserved, balance.spent) == (0, 0)
        (action,) = rig.actions()
    assert action.denied
    assert action.attr("fix").startswith("a request to example.com:443 was refused")


async def test_what_waits_for_an_approval_is_let_in_by_it(tmp_path: Path) -> None:
    import asyncio

    policy = {"rules": [{"name": "writes", "ask": "egress.post"}]}
    async with egress_rig(tmp_path, policy=policy) as rig:
        asking = asyncio.create_task(passage(rig, "POST").begin(""))
        await rig.until("reserve", "egress.post")
        (waiting,) = rig.context.authority.pending()
        rig.context.authority.approve(waiting.id, "a person")
        assert await asking is None
        (note,) = rig.notes("approval")
    assert note["answer"] == "approve"


async def test_a_rig_that_fails_leaves_it_unknown(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        never, begun = passage(rig), passage(rig)
        never.fail("it never began")
        await begun.begin("")
        begun.fail("the disk is full")
        (action,) = rig.actions()
    assert (action.outcome, action.attr("error")) == ("unknown", "the disk is full")


async def test_what_a_trial_sends_is_limited_apart_from_what_it_gets(tmp_path: Path) -> None:
    async with egress_rig(tmp_path) as rig:
        rig.context.admission.limiter = Limiter(CallLimits(egress_bytes=40))
        one = passage(rig)
        assert await one.begin("") is None
        assert (one.send(30), one.receive(500), one.spent) == (30, 500, "")
        assert (one.send(30), one.spent) == (10, "limit_egress")
        assert one.receive(500) == 500  # the answer may still come
        one.settle("fail", status=403, blocked=one.spent)
        refusal = await passage(rig).begin("")
        assert refusal is not None and refusal.code == "limit_egress"
        assert "`limits.egress_mb`" in refusal.message
        assert rig.notes("egress_cap") == [{"limit": 40, "used": 40}]
        cut, denied = rig.actions()
    assert (cut.attr("bytes_up"), cut.attr("bytes_down")) == (40, 1000)
    assert denied.denied and denied.attr("blocked") == "limit_egress"


async def test_the_cap_of_both_directions_goes_before(tmp_path: Path) -> None:
    async with egress_rig(tmp_path, max_bytes=20) as rig:
        rig.context.admission.limiter = Limiter(CallLimits(egress_bytes=10))
        one = passage(rig)
        assert await one.begin("") is None
        assert (one.send(15), one.receive(15), one.spent) == (10, 10, "byte_cap")
        one.settle("fail", blocked=one.spent)
