"""The authority of this process, as other code awaits it."""

from __future__ import annotations

import asyncio

import pytest

from proofrig.authority.authority import Authority
from proofrig.authority.decision import Decision
from proofrig.authority.engine import MemoryEngine
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import LedgerError

RULES = {"rules": [{"name": "big", "ask": "tool.pay", "wait_s": 1}]}


def engine() -> MemoryEngine:
    return MemoryEngine(Authority(Ledger(), None, lambda: 0, parse_policy(RULES)))


def request(id: str, name: str = "tool.look") -> ReserveRequest:
    return ReserveRequest(id, "acme/w/b/r", name, {"calls": 1})


async def test_it_goes_from_reserve_to_commit_and_release() -> None:
    one = engine()
    assert await one.reserve(request("a")) == Decision("allow", "a")
    await one.start("a")
    assert await one.extend("a", 5) == 60_000_000_000
    assert await one.commit("a", {"calls": 1}, "measured", "ok") == {"calls": 1}
    await one.reserve(request("b"))
    await one.release("b", "not needed")
    assert await one.event(request("c"), "measured", "ok") == {"calls": 1}
    await one.set_budget("acme", {"calls": 2})
    assert (await one.reserve(request("d"))).code == "budget_exceeded"
    assert (await one.balances("acme"))["calls"].remaining == 0
    assert await one.scopes() == ("acme", "acme/w", "acme/w/b", "acme/w/b/r")
    await one.stop("acme", "enough")
    assert (await one.reserve(request("e"))).code == "run_stopped"
    assert await one.sweep() == 0
    await one.close()


@pytest.mark.parametrize("first", ["answer", "decision"])
@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_is_told_whether_it_is_awaited_before_or_after(
    first: str, approved: bool
) -> None:
    one = engine()
    assert (await one.reserve(request("a", "tool.pay"))).effect == "ask"
    waiting = asyncio.create_task(one.answer("a")) if first == "answer" else None
    await asyncio.sleep(0)
    if approved:
        await one.approve("a", "boss")
    else:
        await one.refuse("a", "boss", "no: never")
    answer = await (waiting or one.answer("a"))
    assert answer.allowed is approved
    assert approved or "boss refused it: no: never" in answer.fix


async def test_only_what_asked_has_an_answer() -> None:
    one = engine()
    await one.reserve(request("a"))
    for id in ("a", "unknown"):
        with pytest.raises(LedgerError, match="a wait for approval"):
            await one.answer(id)


async def test_all_who_wait_are_told_and_who_gave_up_is_forgotten() -> None:
    one = engine()
    await one.reserve(request("a", "tool.pay"))
    waiting = [asyncio.create_task(one.answer("a")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    await one.approve("a", "ann")
    assert [(await task).effect for task in waiting[1:]] == ["allow", "allow"]
    await one.reserve(request("b", "tool.pay"))
    gone = asyncio.create_task(one.answer("b"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    assert not one.authority._waiting
