"""One tool call on the ledger and on the history."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofrig.errors import Denied, JournalError
from proofrig.gateways.gateway import Context
from proofrig.gateways.tool_action import HOLD_NS, Asking, Calls, Ending, denial_text
from proofrig.gateways.upstream import open_client
from proofrig.history.action import Action
from proofrig.history.history import History
from proofrig.history.journal import FLUSH_BYTES
from proofrig.wire.turn import Request, ToolCall, Turn
from tool_rig import BINDING, TOKEN, make_context


@dataclass
class Desk:
    """Calls on a clock that a test moves."""

    run_dir: Path
    context: Context
    calls: Calls
    time: list[int]

    def wait(self, ns: int) -> None:
        self.time[0] += ns

    def actions(self) -> list[Action]:
        self.context.journal.flush()
        return list(History(self.run_dir).actions())

    def figures(self) -> tuple[int, int]:
        """What tenant acme has reserved and spent in calls."""
        balance = self.context.authority.balances("acme")["calls"]
        return balance.reserved, balance.spent


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    time = [0]
    async with open_client() as client:
        context = make_context(tmp_path, client, lambda: time[0])
        yield Desk(tmp_path, context, Calls(context), time)
        context.journal.close()


async def test_reserve_start_commit(desk: Desk) -> None:
    turn = Turn("messages", tool_calls=(ToolCall("c1", "add", '{"a":1}'),))
    desk.context.asked.note("case:0", "llm-9", Request("messages", "m"), turn)
    call = await desk.calls.begin(BINDING, "path", Asking("add", {"a": 1}, "calc"))
    assert desk.figures() == (1, 0)
    desk.wait(2_500_000)
    desk.calls.end(call, Ending("ok", b"123"))
    assert desk.figures() == (0, 1)
    (action,) = desk.actions()
    assert (action.name, action.scope, action.outcome) == ("tool.add", BINDING.scope, "ok")
    assert action.reserve and action.start and action.end
    reserve, commit = action.reserve.attrs, action.end.attrs
    assert reserve | {"arguments": ""} == {
        "decision": "allow",
        "estimate": {"calls": 1, "calls:tool": 1, "ms": 1, "bytes": len('{"a":1}')},
        "server": "calc",
        "arguments": "",
        "channel": "path",
        "asked_by": "llm-9",
        "call_id": "c1",
        "joined": "arguments",
    }
    assert commit | {"result": ""} == {
        "outcome": "ok",
        "actual": {"calls": 1, "calls:tool": 1, "ms": 3, "bytes": len('{"a":1}') + 3},
        "service_ns": 2_500_000,
        "is_error": False,
        "result": "",
    }


async def test_a_denial_says_where_what_remains_and_what_to_do(desk: Desk) -> None:
    desk.context.authority.set_budget("acme/flow", {"calls": 0})
    with pytest.raises(Denied) as raised:
        await desk.calls.begin(BINDING, "path", Asking("add", {}))
    assert denial_text(raised.value).startswith(
        "proofrig refused this call: budget_exceeded at acme/flow; what remains there: 0 calls."
    )
    (action,) = desk.actions()
    assert action.denied and action.start is None
    assert action.attr("remaining") == {"calls": 0}
    assert "raise the budget of acme/flow" in action.attr("fix")
    assert desk.figures() == (0, 0)


@pytest.mark.parametrize("unit", ["calls", "calls:tool", "ms", "bytes"])
async def test_zero_of_a_unit_allows_nothing(desk: Desk, unit: str) -> None:
    desk.context.authority.set_budget("acme", {unit: 0})
    with pytest.raises(Denied) as raised:
        await desk.calls.begin(BINDING, "path", Asking("add", {}))
    assert raised.value.remaining == {unit: 0}
    assert desk.figures() == (0, 0)


@pytest.mark.parametrize(
    ("limit", "left"), [({"ms": 10}, {"ms": -20}), ({"bytes": 9}, {"bytes": -3})]
)
async def test_time_and_bytes_that_are_used_up_deny_the_next_call(
    desk: Desk, limit: dict[str, int], left: dict[str, int]
) -> None:
    desk.context.authority.set_budget("acme", limit)
    call = await desk.calls.begin(BINDING, "path", Asking("add", {"a": 1}))
    desk.wait(30_000_000)
    desk.calls.end(call, Ending("ok", b"12345"))
    with pytest.raises(Denied) as raised:
        await desk.calls.begin(BINDING, "path", Asking("add", {"a": 1}))
    assert raised.value.remaining == left


async def test_a_call_ends_once(desk: Desk) -> None:
    call = await desk.calls.begin(BINDING, "path", Asking("add", {}))
    desk.calls.end(call, Ending("ok", b"1"))
    desk.calls.end(call, Ending("fail", error="late"))
    desk.calls.give_up([call], "later")
    desk.calls.undo(call, "latest")
    assert [action.outcome for action in desk.actions()] == ["ok"]


async def test_what_was_not_passed_on_costs_nothing(desk: Desk) -> None:
    call = await desk.calls.begin(BINDING, "path", Asking("add", {}))
    desk.calls.undo(call, "its batch was refused")
    assert desk.figures() == (0, 0)
    (action,) = desk.actions()
    assert action.end is not None
    assert (action.end.kind, action.end.attrs) == ("release", {"reason": "its batch was refused"})


async def test_the_end_of_the_trial_and_of_the_rig_leave_unknown_outcomes(desk: Desk) -> None:
    await desk.calls.begin(BINDING, "path", Asking("add", {}))
    desk.context.bindings.end(TOKEN)
    await desk.calls.begin(BINDING, "path", Asking("sub", {}))
    desk.calls.close()
    assert [(action.name, action.outcome) for action in desk.actions()] == [
        ("tool.add", "unknown"),
        ("tool.sub", "unknown"),
    ]
    assert desk.figures() == (0, 2)


async def test_a_call_that_outlives_its_hold_is_still_written_down(desk: Desk) -> None:
    call = await desk.calls.begin(BINDING, "path", Asking("add", {}))
    desk.wait(HOLD_NS)
    desk.context.authority.sweep()
    desk.calls.end(call, Ending("ok", b"1"))
    (action,) = desk.actions()
    assert action.outcome == "ok" and "expired_charged" in action.attr("ledger")
    assert desk.figures() == (0, 1)


async def test_offered_tools_are_noted_once_per_list(desk: Desk) -> None:
    for tools in ([{"name": "a"}], [{"name": "a"}], [{"name": "a"}, {"name": "b"}]):
        desk.calls.note_tools(BINDING, "calc", tools)
    desk.context.journal.flush()
    notes = [e for e in History(desk.run_dir).entries() if e.name == "tools_offered"]
    assert [note.attrs["tools"] for note in notes] == [["a"], ["a", "b"]]
    assert {note.trial for note in notes} == {"case:0"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_nothing_starts_that_cannot_be_written_down(desk: Desk) -> None:
    journal = desk.context.journal
    journal.flush()
    real, journal._fd = journal._fd, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match="No space left"):
        await desk.calls.begin(BINDING, "path", Asking("add", {}, call_id="x" * FLUSH_BYTES))
    assert desk.figures() == (0, 0)
    os.close(journal._fd)
    journal._fd = real
    (action,) = desk.actions()
    assert action.start is None and action.end is not None and action.end.kind == "release"
