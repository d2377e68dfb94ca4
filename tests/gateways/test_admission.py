"""How actions are let in: what asks is held, answered or given back, and all of it is written."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from llm_rig import BINDING as LLM_BINDING
from llm_rig import CHAT, post, rig, says_hello
from proofrig.anomalies.settings import Settings, Steps
from proofrig.authority.authority import recover
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest
from proofrig.gateways.admission import Approval, state_of
from proofrig.gateways.gateway import Binding, Context
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.journal import Journal as HistoryJournal
from proofrig.rig.recovery import settle_open
from proofrig.wire.turn import Request, ToolCall, Turn
from tool_rig import BINDING, TOKEN, ToolRig, make_context, tool_rig

TOOLS = """
__all__ = ["refund", "look", "broken"]

def refund(order: int = 1, amount: int = 1) -> str:
    return "refunded"

def look(what: str = "") -> str:
    return "seen"

def broken() -> str:
    raise ValueError("no luck")
"""
ASKS: dict[str, Any] = {
    "limits": {"*/*/*/*": {"calls": 5, "calls:tool.refund": 2, "calls/minute": 5}},
    "rules": [{"name": "big-refunds", "ask": "tool.refund", "wait_s": 30}],
}
HASTY = {"rules": [{"name": "hasty", "ask": ["tool.refund", "llm.*"], "wait_s": 0.05}]}
BY_LEAD = Approval(rule="big-*", answer="approve", after_s=0.05, by="lead")
PYTHON = [{"type": "python", "target": "shop"}]


def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir(exist_ok=True)
    (folder / "shop.py").write_text(TOOLS)
    return folder


def asking(tmp_path: Path, policy: dict[str, Any] | None = None, **options: Any) -> Any:
    return tool_rig(tmp_path, PYTHON, suite(tmp_path), policy=policy or ASKS, **options)


async def call(r: ToolRig, name: str, call_id: str = "", **arguments: Any) -> tuple[int, Any]:
    headers = {"x-tool-call-id": call_id} if call_id else {}
    url = f"{r.base}/tools/{name}"
    async with r.client.post(url, json=arguments, headers=headers) as answer:
        return answer.status, await answer.json()


def held(context: Context, scope: str = "acme") -> dict[str, int]:
    """What is reserved, and what is spent of calls."""
    balances = context.authority.balances(scope)
    found = {unit: b.reserved for unit, b in balances.items() if b.reserved}
    return found | {"spent": balances["calls"].spent if "calls" in balances else 0}


async def pending(context: Context, count: int = 1) -> None:
    for _ in range(500):
        if len(context.authority.pending()) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(context.authority.pending())} wait, not {count}")


def story(action: Action, entries: list[Any]) -> list[str]:
    return [e.name if e.kind == "note" else e.kind for e in entries if e.id == action.id]


async def test_what_asks_is_held_and_goes_on_once_it_is_approved(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        r.context.admission.approvals = [BY_LEAD]
        going = asyncio.create_task(call(r, "refund", order=7))
        await pending(r.context)
        assert held(r.context) == {
            "calls": 1, "calls:tool": 1, "calls:tool.refund": 1, "ms": 1, "bytes": 11, "spent": 0,
        }  # fmt: skip
        assert await going == (200, {"result": "refunded"})
        (action,) = r.actions()
        assert story(action, r.entries()) == ["reserve", "approval", "start", "commit"]
        assert (action.attr("decision"), action.attr("rule")) == ("ask", "big-refunds")
        (note,) = r.entries("note", "approval")
        assert {k: note.attrs[k] for k in ("rule", "answer", "by")} == {
            "rule": "big-refunds",
            "answer": "approve",
            "by": "lead",
        }
        assert note.attrs["waited_ns"] >= 50_000_000
        assert held(r.context) == {"spent": 1}


@pytest.mark.parametrize(
    ("policy", "approval", "code", "answer", "says"),
    [
        (
            ASKS,
            Approval(by="lead", reason="too much"),
            "approval_refused",
            "refuse",
            "lead refused it: too much",
        ),
        (HASTY, None, "approval_timeout", "timeout", "nobody approved it in time"),
        (HASTY, Approval(answer="approve", after_s=9), "approval_timeout", "timeout", "in time"),
        (HASTY, BY_LEAD, "approval_timeout", "timeout", "in time"),  # of another rule
    ],
)
async def test_what_is_not_approved_is_denied_and_costs_nothing(
    tmp_path: Path,
    policy: dict[str, Any],
    approval: Approval | None,
    code: str,
    answer: str,
    says: str,
) -> None:
    async with asking(tmp_path, policy) as r:
        r.context.admission.approvals = [approval] if approval else []
        status, said = await call(r, "refund")
        error = said["error"]
        assert (status, error["code"], error["type"]) == (403, code, "denied")
        assert says in error["fix"] and says in error["message"]
        (action,) = r.actions()
        assert story(action, r.entries()) == ["reserve", "approval", "release"]
        assert action.end is not None and action.end.attrs["reason"] == code
        assert r.entries("note", "approval")[0].attrs["answer"] == answer
        assert held(r.context) == {"spent": 0}


async def test_nobodys_answer_is_waited_for_as_long_as_the_rule_says(tmp_path: Path) -> None:
    """Not until somebody happens to sweep the ledger: nothing here does."""
    async with asking(tmp_path, HASTY) as r:
        await call(r, "refund")
        waited = r.entries("note", "approval")[0].attrs["waited_ns"]
        assert 50_000_000 <= waited < 900_000_000


async def test_the_first_answer_that_fits_the_rule_is_the_one_that_counts(tmp_path: Path) -> None:
    async with asking(tmp_path, HASTY) as r:
        late = Approval(rule="hasty", answer="approve", after_s=9)
        r.context.admission.approvals = [late, Approval(answer="approve")]
        assert (await call(r, "refund"))[0] == 403


async def test_other_calls_of_the_trial_go_on_while_one_waits(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        first = asyncio.create_task(call(r, "refund"))
        await pending(r.context)
        assert [(await call(r, "look"))[0] for _ in range(3)] == [200] * 3
        r.context.authority.approve(r.context.authority.pending()[0].id, "test")
        assert (await first)[0] == 200
        names = [action.name for action in sorted(r.actions(), key=lambda one: one.end.t)]
        assert names == ["tool.look"] * 3 + ["tool.refund"]


async def test_what_waits_holds_its_budget_against_others(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        waiting = [asyncio.create_task(call(r, "refund", order=n)) for n in range(2)]
        await pending(r.context, 2)
        status, said = await call(r, "refund", order=3)
        assert (status, said["error"]["code"]) == (429, "budget_exceeded")
        assert said["error"]["remaining"]["calls:tool.refund"] == 0
        for one in r.context.authority.pending():
            r.context.authority.refuse(one.id, "test")
        assert [status for status, _ in await asyncio.gather(*waiting)] == [403, 403]
        assert held(r.context) == {"spent": 0}
        again = asyncio.create_task(call(r, "refund", order=3))
        await pending(r.context)  # there is room for it again, in the window too
        r.context.authority.approve(r.context.authority.pending()[0].id, "test")
        assert (await again)[0] == 200


async def hangs_up(r: Any, url: str, body: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session.post(url, json=body), 0.15)


async def gone(context: Context) -> None:
    for _ in range(500):
        if not context.authority.pending():
            await asyncio.sleep(0.02)
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it still waits")


def ended_once(action: Action, entries: list[Any], reason: str) -> None:
    assert story(action, entries) == ["reserve", "release"]
    assert action.end is not None and action.end.attrs["reason"] == reason


async def test_an_agent_that_hangs_up_withdraws_what_it_asked(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        r.context.admission.approvals = [Approval(answer="approve", after_s=0.4)]
        await hangs_up(r, f"{r.base}/tools/refund", {})
        await gone(r.context)
        await asyncio.sleep(0.5)  # the answer comes too late, to nobody
        (action,) = r.actions()
        ended_once(action, r.entries(), "agent_gone")
        assert held(r.context) == {"spent": 0}


async def test_the_end_of_the_trial_ends_the_wait_and_what_is_written(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        r.context.bindings.add(Binding("other", "case:1", "acme", "acme/flow/agent/run2"))
        waiting = asyncio.create_task(call(r, "refund"))
        await pending(r.context)
        r.context.bindings.end("other")
        assert len(r.context.authority.pending()) == 1
        r.context.bindings.end(TOKEN)
        (action,) = r.actions()
        ended_once(action, r.entries(), "trial_ended")  # before anything else can happen
        status, said = await waiting
        assert (status, said["error"]["code"]) == (403, "trial_ended")
        assert [entry.kind for entry in r.entries()] == ["note", "reserve", "release"]
        assert held(r.context) == {"spent": 0}


async def test_a_trial_that_ends_as_the_answer_comes_starts_nothing(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        waiting = asyncio.create_task(call(r, "refund"))
        await pending(r.context)
        r.context.authority.approve(r.context.authority.pending()[0].id, "test")
        r.context.bindings.end(TOKEN)  # in the same step of the loop
        assert (await waiting)[0] == 403
        (action,) = r.actions()
        ended_once(action, r.entries(), "trial_ended")
        assert held(r.context) == {"spent": 0}


async def test_the_end_of_the_rig_ends_the_wait(tmp_path: Path) -> None:
    async with asking(tmp_path) as r:
        waiting = asyncio.create_task(call(r, "refund"))
        await pending(r.context)
    await asyncio.gather(waiting, return_exceptions=True)
    history = History(r.run_dir)
    (action,) = history.actions()
    ended_once(action, list(history.entries()), "agent_gone")
    assert held(r.context) == {"spent": 0}


async def test_what_waited_when_the_rig_was_killed_is_given_back(tmp_path: Path) -> None:
    """Its ledger and its history, as the next rig finds them."""
    path, clock = tmp_path / "authority.db", time.monotonic_ns
    async with open_client() as client:
        context = make_context(tmp_path, client, clock)
        context.authority = recover(path, clock, parse_policy(ASKS))
        binding, journal = BINDING, context.journal
        for name in ("tool.refund", "tool.look"):
            id = journal.new_action()
            request = ReserveRequest(id, binding.scope, name, {"calls": 1})
            context.admission.ask(binding, request, {})
            if name == "tool.look":
                context.admission.start(binding, name, id)
        journal.close()
        context.authority.close()
    again = recover(path, clock, parse_policy(ASKS))
    journal = HistoryJournal(tmp_path, "rig", clock)
    assert settle_open(tmp_path, journal, again) == 2
    journal.close()
    ends = {action.name: action.end for action in History(tmp_path).actions()}
    assert [end and (end.kind, end.attrs.get("outcome")) for end in ends.values()] == [
        ("release", None),
        ("commit", "unknown"),
    ]
    balance = again.balances("acme")["calls"]
    assert (balance.reserved, balance.spent) == (0, 1)
    again.close()


async def test_a_call_to_a_model_waits_in_the_same_way(tmp_path: Path) -> None:
    policy = {"rules": [{"name": "costly", "ask": "llm.*", "wait_s": 30, "max_tokens": 7}]}
    async with rig(tmp_path, says_hello, policy=policy) as r:
        r.context.admission.approvals = [Approval(answer="approve", after_s=0.05)]
        status, _, _ = await post(f"{r.trial_url()}/chat/completions", CHAT)
        (action,) = r.actions()
        assert (status, action.attr("decision"), action.attr("max_tokens")) == (200, "ask", 7)
        assert msgspec.json.decode(r.bodies[0])["max_tokens"] == 7
        assert story(action, r.entries()) == ["reserve", "approval", "start", "commit"]
        r.context.admission.approvals = [Approval(reason="not now")]
        for stream in (False, True):
            status, headers, said = await post(
                f"{r.trial_url()}/chat/completions", CHAT | {"stream": stream}
            )
            facts = msgspec.json.decode(said)["error"]["proofrig"]
            assert (status, headers["x-should-retry"]) == (403, "false")
            assert (facts["code"], facts["rule"]) == ("approval_refused", "costly")
            assert "not now" in facts["fix"]
        assert len(r.bodies) == 1 and r.spent()["calls"] == 1 and not any(r.reserved().values())


@pytest.mark.parametrize("how", ["hang up", "trial", "rig"])
async def test_a_call_to_a_model_that_nobody_waits_for_ends_once(tmp_path: Path, how: str) -> None:
    policy = {"rules": [{"name": "costly", "ask": "llm.*"}]}
    async with rig(tmp_path, says_hello, policy=policy) as r:
        url = f"{r.trial_url()}/chat/completions"
        if how == "hang up":
            await hangs_up(r, url, CHAT)
        else:
            waiting = asyncio.create_task(post(url, CHAT))
            await pending(r.context)
            if how == "trial":
                r.context.bindings.end(LLM_BINDING.token)
            else:
                await r.gateway.close()
            with pytest.raises(aiohttp.ClientError):
                await waiting
        await gone(r.context)
        (action,) = r.actions()
        ended_once(action, r.entries(), "trial_ended" if how == "trial" else "agent_gone")
        assert r.bodies == [] and not any(r.spent().values()) and not any(r.reserved().values())


async def test_what_sdks_ask_beside_turns_is_ruled_too(tmp_path: Path) -> None:
    policy = {
        "rules": [
            {"name": "no-listing", "deny": "llm.models"},
            {"name": "costly", "ask": "llm.count_tokens", "when": {"model": "sim"}},
        ]
    }
    async with rig(tmp_path, says_hello, policy=policy) as r:
        r.context.admission.approvals = [Approval()]
        status, _, said = await post(f"{r.trial_url()}/messages/count_tokens", {"model": "sim"})
        assert (status, msgspec.json.decode(said)["error"]["proofrig"]["code"]) == (
            403,
            "approval_refused",
        )
        status, _, _ = await post(f"{r.trial_url()}/messages/count_tokens", {"model": "other"})
        assert status == 200
        async with r.context.client.get(f"{r.trial_url()}/models") as answer:
            assert answer.status == 403
            assert (await answer.json())["error"]["proofrig"]["rule"] == "no-listing"


async def test_shadow_waits_for_nobody_and_keeps_what_it_would_have_said(tmp_path: Path) -> None:
    async with asking(tmp_path, shadow=True) as r:
        got = [await call(r, "refund", order=n) for n in range(4)]
        assert got == [(200, {"result": "refunded"})] * 4
        told = [action.attr("shadow") for action in r.actions()]
        assert [(one["decision"], one.get("rule", "")) for one in told] == [
            ("ask", "big-refunds"),
            ("ask", "big-refunds"),
            ("deny", ""),
            ("deny", ""),
        ]
        assert {action.attr("decision") for action in r.actions()} == {"allow"}
        assert told[3]["remaining"]["calls:tool.refund"] == 0 and told[3]["at"] == BINDING.scope
        assert not r.entries("note", "approval") and held(r.context) == {"spent": 4}


# ---- batches: what a turn asks for, in whatever order it comes

COUNTED = {
    "a limit": {"limits": {"*/*/*/*": {"calls:tool.look": 3}}},
    "a tenant's": {"limits": {"acme": {"calls:tool.look": 3}}},
    "a window": {"limits": {"*/*/*/*": {"calls:tool.look/hour": 3}}},
    "a rule": {"rules": [{"name": "three", "allow": "tool.look", "cap": {"calls": 3}}]},
}


def turn_asks(r: ToolRig, *calls: tuple[str, str, str], action: str = "llm") -> None:
    asked = tuple(ToolCall(id, name, f'{{"what":"{what}"}}') for id, name, what in calls)
    turn = Turn("chat_completions", action, "m", tool_calls=asked)
    r.context.asked.note(BINDING.trial, action, Request("chat_completions", "m"), turn)


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("counted", COUNTED)
async def test_the_first_that_were_asked_for_are_let_in_whatever_order_they_come_in(
    tmp_path: Path, counted: str, by_id: bool
) -> None:
    async with asking(tmp_path, COUNTED[counted]) as r:
        turn_asks(r, *((f"c{n}", "look", str(n)) for n in range(6)))
        order = random.Random(counted).sample(range(6), 6)
        got = {}
        for n in order:
            status, said = await call(r, "look", f"c{n}" if by_id else "", what=str(n))
            got[n] = status
            if status != 200:
                assert said["error"]["code"] in ("budget_exceeded", "rate_exceeded")
                assert said["error"]["fix"].startswith(("asked ", "the cap of rule three"))
        assert [got[n] for n in range(6)] == [200] * 3 + [429] * 3
        assert held(r.context) == {"spent": 3}


@pytest.mark.parametrize("by_id", [True, False])
async def test_one_that_is_tried_again_takes_no_others_place(tmp_path: Path, by_id: bool) -> None:
    async with asking(tmp_path, COUNTED["a limit"]) as r:
        turn_asks(r, *((f"c{n}", "look", str(n)) for n in range(5)))
        got = []
        for n in (4, 4, 3, 4, 0, 4, 2, 3, 1, 4):
            status, _ = await call(r, "look", f"c{n}" if by_id else "", what=str(n))
            got.append((n, status))
        assert [n for n, status in got if status == 200] == [0, 2, 1]
        assert held(r.context) == {"spent": 3}


async def test_one_that_a_rule_denies_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    rules = [{"name": "no-0", "deny": "tool.look", "when": {"what": "0"}}]
    async with asking(tmp_path, COUNTED["a limit"] | {"rules": rules}) as r:
        turn_asks(r, *((f"c{n}", "look", str(n)) for n in range(5)))
        got = [(await call(r, "look", f"c{n}", what=str(n)))[0] for n in (0, 4, 3, 2, 1)]
        assert got == [403, 429, 200, 200, 200]


async def test_two_tools_of_one_batch_do_not_count_for_each_other(tmp_path: Path) -> None:
    policy = {"limits": {"*/*/*/*": {"calls:tool.look": 1, "calls:tool.refund": 1}}}
    async with asking(tmp_path, policy) as r:
        turn_asks(
            r,
            ("a", "look", "1"),
            ("b", "mcp__shop__refund", "1"),
            ("c", "look", "2"),
            ("d", "mcp__shop__refund", "2"),
        )
        got = {}
        for id, tool in (("d", "refund"), ("c", "look"), ("b", "refund"), ("a", "look")):
            got[id] = (await call(r, tool, id))[0]
        assert got == {"a": 200, "b": 200, "c": 429, "d": 429}


async def test_calls_that_never_come_are_forgotten_with_their_turn(tmp_path: Path) -> None:
    async with asking(tmp_path, COUNTED["a limit"]) as r:
        turn_asks(r, *((f"a{n}", "look", str(n)) for n in range(3)))
        later = Turn("chat_completions", "r2", "m", tool_calls=(ToolCall("b", "look", "{}"),))
        echo = Request("chat_completions", "m", previous_id="llm")
        r.context.asked.note(BINDING.trial, "llm-2", echo, later)
        assert (await call(r, "look", "b"))[0] == 200


async def test_every_order_of_a_batch_at_once(tmp_path: Path) -> None:
    """All orders of four calls where two are left, each batch with a tenant of its own."""
    policy = {"limits": {"*/*/*/*": {"calls:tool.look": 2}}}
    async with asking(tmp_path, policy) as r:
        for number, order in enumerate(itertools.permutations(range(4))):
            binding = Binding(f"t{number}", f"c:{number}", "acme", f"acme/f/a/r{number}")
            r.context.bindings.add(binding)
            asked = tuple(ToolCall(f"c{n}", "look", f'{{"what":"{n}"}}') for n in range(4))
            turn = Turn("chat_completions", "r", "m", tool_calls=asked)
            request = Request("chat_completions", "m")
            r.context.asked.note(binding.trial, f"llm{number}", request, turn)
            url = f"http://{r.address}/t/t{number}/tools/look"

            async def one(n: int, url: str = url) -> int:
                async with r.client.post(url, json={"what": str(n)}) as answer:
                    return answer.status

            got = dict(zip(order, [await one(n) for n in order], strict=True))
            assert [got[n] for n in range(4)] == [200, 200, 429, 429], order


# ---- the watch

WATCH = Settings(repeat=Steps(2, 3, 4), polling=Steps(90, 91, 92), idle_ms=10_000)


@pytest.mark.parametrize(("tool", "status"), [("look", 200), ("broken", 500)])
async def test_a_tool_that_is_called_in_circles_is_warned_refused_and_stopped(
    tmp_path: Path, tool: str, status: int
) -> None:
    async with asking(tmp_path, {}) as r:
        r.context.admission.watch = WATCH
        r.context.bindings.add(Binding("other", "case:1", "acme", "acme/flow/agent/run2"))
        got = [await call(r, tool) for _ in range(6)]
        assert [status for status, _ in got] == [status] * 3 + [403] * 3
        assert ["warning" in said for _, said in got] == [False, False, True, *[False] * 3]
        notes = [entry.attrs for entry in r.entries("note", "anomaly")]
        assert [note["step"] for note in notes] == ["warn", "deny", "stop"]
        assert got[2][1]["warning"] == notes[0]["says"]
        codes = [said["error"].get("code") for _, said in got[3:]]
        assert codes == ["repeat_detected", "repeat_detected", "run_stopped"]
        status_of_another, said = await call(r, "refund")
        assert (status_of_another, said["error"]["code"]) == (403, "run_stopped")
        async with r.client.post(f"http://{r.address}/t/other/tools/look", json={}) as answer:
            assert answer.status == 200
        assert held(r.context) == {"spent": 4}


async def test_a_warning_is_not_lost_where_the_call_is_denied_for_another_reason(
    tmp_path: Path,
) -> None:
    async with asking(tmp_path, {"limits": {"acme": {"calls": 2}}}) as r:
        r.context.admission.watch = WATCH
        got = [await call(r, "look") for _ in range(3)]
        (note,) = r.entries("note", "anomaly")
        assert [status for status, _ in got] == [200, 200, 429]
        error = got[2][1]["error"]
        assert (error["code"], note.attrs["step"]) == ("budget_exceeded", "warn")
        assert error["fix"].endswith(note.attrs["says"])


async def test_a_run_that_does_something_else_is_let_go_on(tmp_path: Path) -> None:
    async with asking(tmp_path, {}) as r:
        r.context.admission.watch = WATCH
        got = [(await call(r, "look", what=word))[0] for word in "aaaa"]
        got += [(await call(r, "look", what=word))[0] for word in "bc"]
        assert got == [200, 200, 200, 403, 200, 200]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"outcome": "ok"}, "ok"),
        ({"outcome": "ok", "is_error": True}, "failed"),
        ({"outcome": "fail"}, "failed"),
        ({"outcome": "fail", "infra": True}, "refused"),
        ({"outcome": "fail", "status": 429}, "refused"),
        ({"outcome": "fail", "status": 500}, "failed"),
        ({"outcome": "unknown"}, "refused"),
    ],
)
def test_what_had_no_room_is_told_from_what_failed(told: dict[str, Any], state: str) -> None:
    assert state_of(told) == state
