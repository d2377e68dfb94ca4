"""Actions as blocks of code and as decorated functions, over the engine in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proofrig.authority.action import Action, Actions
from proofrig.authority.authority import Authority
from proofrig.authority.budget import Balance
from proofrig.authority.engine import MemoryEngine
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.errors import Denied, IdempotencyError, LedgerError, UsageError

RUN = "acme/desk/bot/r1"
RULES: dict[str, Any] = {
    "limits": {"acme": {"usd": 1, "calls": 10}},
    "rules": [
        {"name": "small-refunds", "deny": "tool.refund", "when": {"amount": {">": 100}}},
        {"name": "ask-first", "ask": "tool.refund", "when": {"amount": {">": 50}}, "wait_s": 5},
    ],
}


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def actions(**rules: Any) -> tuple[Actions, Authority, Clock]:
    clock = Clock()
    authority = Authority(Ledger(), None, clock, parse_policy(RULES | rules))
    return Actions(MemoryEngine(authority), RUN), authority, clock


def usd(authority: Authority, scope: str = "acme") -> Balance:
    return authority.balances(scope)["usd_micro"]


async def test_a_block_is_held_while_it_runs_and_charged_what_it_came_to() -> None:
    acts, authority, _ = actions()
    async with acts.action("tool.buy", {"what": "x"}, usd_micro=400_000) as action:
        assert usd(authority) == Balance(1_000_000, 400_000, 0)
        action.actual(usd_micro=250_000)
    assert usd(authority) == Balance(1_000_000, 0, 250_000)
    assert action.charged == {"calls": 1, "calls:tool": 1, "usd_micro": 250_000}


async def test_what_was_not_said_is_charged_as_held() -> None:
    acts, authority, _ = actions()
    async with acts.action("tool.buy", usd_micro=400_000):
        pass
    assert usd(authority).spent == 400_000


@pytest.mark.parametrize(("said", "spent"), [({}, 400_000), ({"usd_micro": 7}, 7)])
async def test_a_block_that_raises_may_have_happened(said: dict[str, int], spent: int) -> None:
    acts, authority, _ = actions()
    with pytest.raises(ZeroDivisionError):
        async with acts.action("tool.buy", usd_micro=400_000) as action:
            action.actual(**said)
            raise ZeroDivisionError
    assert usd(authority) == Balance(1_000_000, 0, spent)


async def test_a_block_that_is_cancelled_is_charged_and_unknown() -> None:
    acts, authority, _ = actions()
    begun = asyncio.Event()

    async def hangs() -> None:
        async with acts.action("tool.buy", id="one", usd_micro=400_000):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hangs())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (authority.state("one"), usd(authority).spent) == ("committed", 400_000)


async def test_what_certainly_did_not_happen_is_given_back() -> None:
    acts, authority, _ = actions()
    async with acts.action("tool.buy", usd_micro=400_000) as action:
        action.undone("the shop is closed")
    assert usd(authority) == Balance(1_000_000, 0, 0)


@pytest.mark.parametrize(
    ("name", "arguments", "amounts", "code", "rule"),
    [
        ("tool.refund", {"amount": 101}, {}, "forbidden", "small-refunds"),
        ("tool.refund", {}, {}, "argument_missing", "small-refunds"),
        ("tool.buy", {}, {"usd_micro": 1_000_001}, "budget_exceeded", ""),
    ],
)
async def test_a_denied_block_does_not_run(
    name: str, arguments: dict[str, Any], amounts: dict[str, int], code: str, rule: str
) -> None:
    acts, authority, _ = actions()
    with pytest.raises(Denied) as denied:
        async with acts.action(name, arguments, **amounts):
            raise AssertionError("it ran")
    assert (denied.value.code, denied.value.rule) == (code, rule)
    assert denied.value.fix
    assert authority.balances("acme")["calls"] == Balance(10, 0, 0)


async def pending(authority: Authority) -> str:
    for _ in range(100):
        if waiting := authority.pending():
            return waiting[0].id
        await asyncio.sleep(0)
    raise AssertionError("nothing asked")


async def refund(acts: Actions, amount: float) -> Action:
    async with acts.action("tool.refund", {"amount": amount}) as action:
        return action


async def test_what_asks_waits_for_its_answer() -> None:
    acts, authority, _ = actions()
    asking = asyncio.create_task(refund(acts, 60))
    id = await pending(authority)
    assert authority.balances("acme")["calls"] == Balance(10, 1, 0)
    authority.approve(id, "boss")
    assert (await asking).charged == {"calls": 1, "calls:tool": 1}


async def test_a_refusal_and_silence_are_denials_that_cost_nothing() -> None:
    acts, authority, clock = actions()
    asking = asyncio.create_task(refund(acts, 60))
    authority.refuse(await pending(authority), "boss", "too much")
    with pytest.raises(Denied, match="too much") as refused:
        await asking
    assert refused.value.code == "approval_refused"
    asking = asyncio.create_task(refund(acts, 61))
    await pending(authority)
    clock.now = 5 * 10**9
    authority.sweep()
    with pytest.raises(Denied) as late:
        await asking
    assert late.value.code == "approval_timeout"
    assert authority.balances("acme")["calls"] == Balance(10, 0, 0)


async def test_who_stops_waiting_gives_the_hold_back() -> None:
    acts, authority, _ = actions()
    asking = asyncio.create_task(refund(acts, 60))
    id = await pending(authority)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert authority.state(id) == "released"


async def test_children_share_the_budget_of_their_parent() -> None:
    acts, authority, _ = actions(limits={RUN: {"calls": 2, "children": 2}})
    done, denied = 0, []
    for name in ("a", "b", "c"):
        try:
            async with acts.child(name).action("tool.buy"):
                done += 1
        except Denied as error:
            denied.append(error.code)
    assert (done, denied) == (2, ["fan_out_exceeded"])
    with pytest.raises(Denied, match="budget_exceeded"):
        async with acts.child("a").action("tool.buy"):
            pass
    assert authority.balances(RUN)["calls"].spent == 2


async def test_a_tool_is_a_function_whose_calls_are_actions() -> None:
    acts, authority, _ = actions()

    class Shop:
        @acts.tool(usd_micro=10)
        async def refund(self, amount: int, why: str = "broken") -> str:
            return f"{amount} {why}"

    assert await Shop().refund(50) == "50 broken"
    with pytest.raises(Denied, match="small-refunds"):
        await Shop().refund(500)
    assert authority.balances(RUN)["calls:tool"].spent == 1


async def test_a_hold_is_kept_alive_while_its_block_runs() -> None:
    _, authority, clock = actions()
    acts = Actions(MemoryEngine(authority), RUN, hold_s=0.03)
    async with acts.action("tool.buy", id="long"):
        for _ in range(8):
            await asyncio.sleep(0.01)
            clock.now += 10_000_000
            authority.sweep()
    assert authority.state("long") == "committed"


async def test_one_id_is_one_action() -> None:
    acts, _, _ = actions()
    async with acts.action("tool.buy", {"what": "x"}, id="one"):
        pass
    with pytest.raises(IdempotencyError):
        async with acts.action("tool.buy", {"what": "y"}, id="one"):
            raise AssertionError("it ran")
    with pytest.raises(LedgerError, match="committed"):
        async with acts.action("tool.buy", {"what": "x"}, id="one"):
            raise AssertionError("it ran twice")


@pytest.mark.parametrize("name", ["refund", "tool.", ".refund"])
async def test_an_action_is_named_by_kind_and_what(name: str) -> None:
    acts, _, _ = actions()
    with pytest.raises(UsageError, match=r"<kind>\.<what>"):
        async with acts.action(name):
            pass


async def test_arguments_are_what_json_can_say() -> None:
    acts, _, _ = actions()
    with pytest.raises(UsageError, match="expected what JSON can say"):
        async with acts.action("tool.buy", {"what": object()}):
            pass


async def test_a_child_is_tainted_by_what_its_sibling_read() -> None:
    acts, _, _ = actions(
        taint={"tool.fetch": "web"},
        rules=[{"name": "no-mail", "deny": "tool.mail", "tainted": "web"}],
    )
    async with acts.child("one").action("tool.mail"):
        pass
    async with acts.child("one").action("tool.fetch"):
        pass
    for place in (acts, acts.child("one"), acts.child("two")):
        with pytest.raises(Denied, match="no-mail"):
            async with place.action("tool.mail"):
                pass


async def test_one_id_runs_once() -> None:
    acts, authority, _ = actions()
    ran: list[int] = []

    async def pay() -> None:
        async with acts.action("tool.pay", {"n": 1}, id="x", usd_micro=5):
            ran.append(1)
            await asyncio.sleep(0.01)

    told = await asyncio.gather(pay(), pay(), return_exceptions=True)
    assert ran == [1]
    assert [type(one) for one in told] == [type(None), LedgerError]
    with pytest.raises(LedgerError):
        await pay()
    assert ran == [1]
    assert usd(authority).spent == 5


async def test_what_a_block_cost_is_booked_when_its_hold_ran_out_before_it() -> None:
    acts, authority, clock = actions()
    with pytest.raises(LedgerError, match="expired_charged"):
        async with acts.action("tool.pay", usd_micro=5) as action:
            clock.now = 10**18
            authority.sweep()
            action.actual(usd_micro=50)
    assert usd(authority) == Balance(1_000_000, 0, 50)


def test_only_async_functions_are_tools() -> None:
    acts, *_ = actions()

    def plain(x: int) -> int:
        return x

    with pytest.raises(UsageError, match="async function"):
        acts.tool()(plain)  # type: ignore[arg-type]


async def test_a_method_is_a_tool_without_its_owner() -> None:
    acts, _, _ = actions(rules=[{"name": "r", "deny": "tool.pay", "when": {"n": {">": 5}}}])

    class Desk:
        @acts.tool()
        async def pay(self, n: int) -> int:
            return n

        @classmethod
        @acts.tool(name="pay")
        async def pay_all(cls, n: int) -> int:
            return n

    assert (await Desk().pay(5), await Desk.pay_all(5)) == (5, 5)
    with pytest.raises(Denied):
        await Desk.pay_all(6)


@pytest.mark.parametrize("said", [{"usd_micro": -1}, {"tokens": 1.5}, {"dollars": 1}])
async def test_an_actual_that_is_none_is_refused_where_it_is_said(said: Any) -> None:
    acts, authority, _ = actions()
    with pytest.raises(UsageError, match="amounts"):
        async with acts.action("tool.pay", usd_micro=5) as action:
            action.actual(**said)
    assert usd(authority) == Balance(1_000_000, 0, 5)


@pytest.mark.parametrize("hold_s", [0, -1, float("nan"), float("inf")])
def test_a_hold_lives_for_some_time(hold_s: float) -> None:
    with pytest.raises(UsageError, match="hold_s"):
        Actions(actions()[0].engine, RUN, hold_s=hold_s)
