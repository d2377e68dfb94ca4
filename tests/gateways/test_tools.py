"""`/tools` over real HTTP: what a model is told, what an agent gets, what the history says."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tool_rig import TOKEN, ToolRig, tool_rig

TOOLS = '''
from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import Literal

from helpers import ORDERS
from proofrig.gateways.tool import ToolContext

__all__ = ["lookup_order", "slow", "whose", "leave", "fail", "odd", "big", "blocked", "priced"]
__all__ += ["mumble"]


async def lookup_order(order_id: int, detail: Literal["short", "full"] = "short") -> dict:
    """Find an order.

    Args:
        order_id: The number on the receipt,
            without its prefix.
        detail (str): How much to tell.
    """
    return {"order": order_id, "status": ORDERS[order_id], "detail": detail}


def blocked(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


async def slow() -> str:
    await asyncio.sleep(30)
    return "never"


def whose(context: ToolContext, word: str = "") -> dict:
    return {"trial": context.trial, "tenant": context.tenant, "seed": context.seed, "word": word}


def leave() -> None:
    sys.exit(3)


async def fail(text: str) -> None:
    raise KeyError(text)


def mumble() -> None:
    raise ValueError("bad \\udc80 word")


def odd():
    return object()


def big(size: int) -> str:
    return "x" * size


@dataclass
class Price:
    cents: int
    per: str = "unit"


async def priced(price: Price) -> Price:
    from helpers import double
    return Price(double(price.cents), price.per)
'''
HELPERS = "ORDERS = {7: 'sent'}\n\ndef double(n):\n    return 2 * n\n"
PYTHON = {"type": "python", "target": "tools", "timeout_s": 1.0, "result_limit_bytes": 1000}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "tools.py").write_text(TOOLS)
    (folder / "helpers.py").write_text(HELPERS)
    return folder


async def call(rig: ToolRig, name: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    url = f"{rig.base}/tools/{name}"
    async with rig.client.post(url, json={} if body is None else body, **options) as answer:
        return answer.status, await answer.json()


async def test_a_call_gives_its_result_and_stands_on_the_history(
    tmp_path: Path, suite: Path
) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        assert await call(rig, "lookup_order", {"order_id": "7"}) == (
            200,
            {"result": {"order": 7, "status": "sent", "detail": "short"}},
        )
        (action,) = rig.actions()
        assert (action.name, action.trial, action.outcome) == ("tool.lookup_order", "case:0", "ok")
        assert rig.payload(action.attr("arguments")) == b'{"order_id":"7"}'
        result = rig.payload(action.attr("result")) or b""
        assert result == b'{"order":7,"status":"sent","detail":"short"}'
        actual = action.attr("actual")
        both = len(b'{"order_id":"7"}') + len(result)
        assert (actual["calls"], actual["calls:tool"], actual["bytes"]) == (1, 1, both)
        assert action.attr("channel") == "path"
        balance = rig.context.authority.balances("acme")["calls:tool"]
        assert (balance.spent, balance.reserved) == (1, 0)


async def test_the_list_has_schemas_from_signatures_and_docstrings(
    tmp_path: Path, suite: Path
) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        for _ in range(2):
            async with rig.client.get(f"{rig.base}/tools") as answer:
                listed = {tool["name"]: tool for tool in (await answer.json())["tools"]}
        assert listed["lookup_order"]["description"] == "Find an order."
        assert listed["lookup_order"]["schema"] == {
            "type": "object",
            "additionalProperties": False,
            "required": ["order_id"],
            "properties": {
                "order_id": {
                    "type": "integer",
                    "title": "Order Id",
                    "description": "The number on the receipt, without its prefix.",
                },
                "detail": {
                    "type": "string",
                    "enum": ["short", "full"],
                    "title": "Detail",
                    "description": "How much to tell.",
                    "default": "short",
                },
            },
        }
        assert list(listed["whose"]["schema"]["properties"]) == ["word"]
        (note,) = rig.entries("note", "tools_offered")
        assert note.attrs["tools"] == list(listed)


@pytest.mark.parametrize(
    ("tool", "body", "status", "kind", "says"),
    [
        ("lookup_order", {}, 400, "bad_arguments", "order_id: Field required"),
        ("lookup_order", {"order_id": "x"}, 400, "bad_arguments", "got 'x'"),
        ("lookup_order", {"order_id": 7, "why": 1}, 400, "bad_arguments", "why: "),
        ("lookup_order", {"order_id": 8}, 500, "tool_error", "raised KeyError: 8"),
        ("lookup_order", [7], 400, "bad_arguments", "expected a JSON object"),
        ("lookup_ordr", {}, 404, "unknown_tool", "did you mean lookup_order?"),
        ("fail", {"text": "gone"}, 500, "tool_error", "raised KeyError: 'gone'"),
        ("mumble", {}, 500, "tool_error", "ValueError: bad ? word"),
        ("leave", {}, 500, "tool_error", "SystemExit: 3"),
        ("odd", {}, 500, "bad_result", "expected a result that is JSON"),
        ("big", {"size": 1000}, 500, "result_too_large", "1,002 bytes and at most 1,000"),
        ("slow", {}, 504, "tool_timeout", "within 1 s"),
    ],
)
async def test_what_goes_wrong_is_said_to_the_agent_and_written_down(
    tmp_path: Path, suite: Path, tool: str, body: Any, status: int, kind: str, says: str
) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        got, answer = await call(rig, tool, body)
        assert (got, answer["error"]["type"]) == (status, kind)
        assert says in answer["error"]["message"]
        (action,) = rig.actions()
        assert action.outcome == ("unknown" if kind == "tool_timeout" else "fail")
        assert says in action.attr("error")
        assert (await call(rig, "whose"))[0] == 200  # the rig goes on


async def test_the_context_is_filled_in_and_siblings_are_imported_late(
    tmp_path: Path, suite: Path
) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        assert (await call(rig, "whose", {"word": "w"}))[1] == {
            "result": {"trial": "case:0", "tenant": "acme", "seed": 7, "word": "w"}
        }
        assert (await call(rig, "priced", {"price": {"cents": 21}}))[1] == {
            "result": {"cents": 42, "per": "unit"}
        }
        assert sorted(os.listdir(suite)) == ["helpers.py", "tools.py"]


async def test_blocking_tools_do_not_hold_up_others(tmp_path: Path, suite: Path) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        order: list[str] = []

        async def one(name: str, body: dict[str, Any]) -> None:
            await call(rig, name, body)
            order.append(name)

        blocked = asyncio.create_task(one("blocked", {"seconds": 0.4}))
        await asyncio.sleep(0.05)
        await one("whose", {})
        await blocked
        assert order == ["whose", "blocked"]


async def test_a_denied_call_is_told_what_remains_and_costs_nothing(
    tmp_path: Path, suite: Path
) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        rig.context.authority.set_budget("acme/flow", {"calls:tool": 1})
        assert (await call(rig, "whose"))[0] == 200
        status, answer = await call(rig, "whose")
        assert status == 429
        error = answer["error"]
        assert (error["type"], error["scope"], error["remaining"]) == (
            "denied",
            "acme/flow",
            {"calls:tool": 0},
        )
        assert "0 calls:tool" in error["message"]
        allowed, denied = rig.actions()
        assert (allowed.denied, denied.denied) == (False, True)
        assert denied.attr("at") == "acme/flow"
        assert rig.context.authority.balances("acme")["calls:tool"].spent == 1


async def test_a_call_of_no_trial_is_refused_and_written_down(tmp_path: Path, suite: Path) -> None:
    async with tool_rig(tmp_path, [PYTHON]) as rig:
        url = f"http://{rig.address}/tools/whose"
        async with rig.client.post(url, json={}) as answer:
            assert answer.status == 401
        async with rig.client.post(
            url, json={}, headers={"baggage": f"proofrig.trial={TOKEN}"}
        ) as answer:
            assert answer.status == 200
        rig.context.bindings.end(TOKEN)
        assert (await call(rig, "whose"))[1]["error"]["message"].startswith(
            "proofrig: trial case:0"
        )
        assert len(rig.entries("note", "unattributed")) == 1
        assert [entry.trial for entry in rig.entries("note", "late")] == ["case:0"]
        assert [action.attr("channel") for action in rig.actions()] == ["baggage"]


async def test_an_agent_that_hangs_up_leaves_an_unknown_outcome(
    tmp_path: Path, suite: Path
) -> None:
    async with tool_rig(tmp_path, [PYTHON | {"timeout_s": 30}]) as rig:
        task = asyncio.create_task(call(rig, "slow"))
        await rig.until("start")
        task.cancel()
        await rig.until("commit")
        assert rig.actions()[0].outcome == "unknown"
