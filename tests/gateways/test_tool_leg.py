"""Tools over plain HTTP, with faults and a tape in their way: what the agent gets, what the tool
did, and what the history says of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fault_rig import Around, Got, fetch
from proofrig.anomalies.effects import carried_out
from proofrig.anomalies.settings import Settings, Steps
from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.error_object import ErrorObject
from proofrig.faults.fault import Fault
from proofrig.faults.html_page import HtmlPage
from proofrig.faults.http_error import HttpError
from proofrig.faults.kill import Kill
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.faults.rate_limit import RateLimit
from proofrig.faults.reset import Reset
from proofrig.faults.stall import Stall
from proofrig.faults.token_expiry import TokenExpiry
from proofrig.faults.trickle import Trickle
from proofrig.faults.truncated_body import TruncatedBody
from proofrig.gateways.leg import Send
from proofrig.wire.answer import Answer, Made, read
from proofrig.wire.outbound import Outbound
from tool_rig import TOKEN, ToolRig, disturb, tool_rig

TOOLS = """
__all__ = ["refund", "fails"]
CALLS = []

def refund(order: int) -> dict:
    CALLS.append(order)
    return {"refunded": order, "times": len(CALLS)}

def fails(order: int) -> dict:
    raise ValueError("no such order")
"""


@asynccontextmanager
async def faulted(
    tmp_path: Path, *faults: Fault, waits: bool = False
) -> AsyncIterator[tuple[ToolRig, Around]]:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "refunds.py").write_text(TOOLS)
    async with tool_rig(tmp_path, [{"type": "python", "target": "refunds"}]) as rig:
        yield rig, disturb(rig.context, faults, waits=waits)


async def call(rig: ToolRig, name: str = "refund", **headers: str) -> Got:
    return await fetch(f"{rig.base}/tools/{name}", b'{"order": 7}', **headers)


def commit(rig: ToolRig) -> dict[str, Any]:
    """What the one commit says of the tool and its result."""
    (entry,) = rig.entries("commit")
    kept = ("outcome", "is_error", "infra", "struck", "executed", "undelivered", "error")
    said = {name: entry.attrs[name] for name in kept if name in entry.attrs}
    result = entry.attrs.get("result")
    return said | ({"result": rig.payload(result)} if result else {})


DONE = b'{"refunded":7,"times":1}'


async def test_what_no_fault_strikes_is_as_without_any(tmp_path: Path) -> None:
    async with faulted(tmp_path, Latency(on={"tool": "other"})) as (rig, _):
        got = await call(rig)
        assert (got.status, got.body) == (200, b'{"result":' + DONE + b"}")
        assert commit(rig) == {"outcome": "ok", "is_error": False, "result": DONE}
    bare = tmp_path / "bare"
    bare.mkdir()
    async with faulted(bare) as (rig, _):
        rig.context.faults = None
        again = await call(rig)
    names = ("content-type", "content-length", "server")
    assert [got.headers[name] for name in names] == [again.headers[name] for name in names]


async def test_a_failure_that_no_fault_strikes_says_what_the_tool_said(tmp_path: Path) -> None:
    async with faulted(tmp_path, Latency(on={"tool": "other"})) as (rig, _):
        got = await call(rig, "fails")
        assert got.status == 500
        said = commit(rig)
        assert (said["outcome"], said["result"]) == ("fail", got.body)
        assert said["error"].startswith("tool fails raised ValueError: no such order (")


async def test_a_late_result_is_the_tools_own(tmp_path: Path) -> None:
    async with faulted(tmp_path, LateResult(by_s=0.01)) as (rig, _):
        assert (await call(rig)).body == b'{"result":' + DONE + b"}"
        assert commit(rig) == {
            "outcome": "ok",
            "is_error": False,
            "struck": ["late_result"],
            "result": DONE,
        }
        (action,) = rig.actions()
        assert [fault.name for fault in action.faults] == ["late_result"]


async def test_a_tool_that_a_fault_answers_for_is_never_called(tmp_path: Path) -> None:
    async with faulted(tmp_path, HttpError(status=503)) as (rig, _):
        got = await call(rig)
        assert got.status == 503
        said = commit(rig)
        assert (said["outcome"], said["executed"], said["result"]) == ("fail", False, got.body)
        assert said["struck"] == ["http_error"] and "infra" not in said
        rig.context.faults = None
        assert b'"times":1' in (await call(rig)).body


async def test_a_result_that_was_replaced_stands_beside_what_the_tool_did(tmp_path: Path) -> None:
    class Lies(ErrorObject):
        """The tool is called, and its agent told something else."""

        async def strike(self, hit: Any, onward: Any) -> Answer:
            (await onward()).close()
            return await super().strike(hit, onward)

    async with faulted(tmp_path, Lies()) as (rig, _):
        got = await call(rig)
        assert got.status == 200 and b"error" in got.body
        said = commit(rig)
        assert (said["outcome"], said["undelivered"]) == ("ok", True)
        assert got.body == b'{"result":' + said["result"] + b"}"


@pytest.mark.parametrize(
    ("fault", "outcome", "facts"),
    [
        (Reset(), "fail", {"executed": False}),
        (Reset(after_bytes=5), "ok", {"undelivered": True}),
        (TruncatedBody(), "ok", {"undelivered": True}),
    ],
)
async def test_an_answer_that_breaks(
    tmp_path: Path, fault: Fault, outcome: str, facts: dict[str, bool]
) -> None:
    async with faulted(tmp_path, fault) as (rig, _):
        got = await call(rig)
        assert got.body != b'{"result":' + DONE + b"}"
        await rig.until("commit")
        said = commit(rig)
        assert (said["outcome"], said["struck"]) == (outcome, [fault.kind])
        assert {name: said[name] for name in ("executed", "undelivered") if name in said} == facts


async def test_a_trickle_is_whole_in_the_end(tmp_path: Path) -> None:
    async with faulted(tmp_path, Trickle()) as (rig, _):
        got = await call(rig)
        assert (got.body, got.ended) == (b'{"result":' + DONE + b"}", "whole")
        assert commit(rig) == {
            "outcome": "ok",
            "is_error": False,
            "struck": ["trickle"],
            "result": DONE,
        }


async def test_a_request_that_is_delivered_twice_acts_twice(tmp_path: Path) -> None:
    async with faulted(tmp_path, DuplicateDelivery(times=1)) as (rig, _):
        assert b'"times":1' in (await call(rig)).body
        assert b'"times":3' in (await call(rig)).body
        assert [entry.attrs.get("struck") for entry in rig.entries("commit")] == [
            ["duplicate_delivery"],
            None,
        ]


async def test_an_agent_that_hangs_up_on_a_late_result_leaves_it_undelivered(
    tmp_path: Path,
) -> None:
    async with faulted(tmp_path, LateResult(by_s=60), waits=True) as (rig, _):
        asking = asyncio.create_task(call(rig))
        await rig.until("fault")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await rig.until("commit")
        said = commit(rig)
        assert (said["outcome"], said["undelivered"], said["struck"]) == (
            "ok",
            True,
            ["late_result"],
        )


async def test_one_that_hangs_up_before_the_tool_is_called_did_nothing(tmp_path: Path) -> None:
    async with faulted(tmp_path, Latency(ms=60_000), waits=True) as (rig, _):
        asking = asyncio.create_task(call(rig))
        await rig.until("fault")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await rig.until("commit")
        said = commit(rig)
        assert (said["outcome"], said["executed"]) == ("fail", False)


async def test_a_killed_agent_gets_nothing(tmp_path: Path) -> None:
    async with faulted(tmp_path, Kill(point="after_call")) as (rig, around):
        assert (await call(rig)).ended == "reset"
        await rig.until("commit")
        assert around.done == [("kill", TOKEN)]
        said = commit(rig)
        assert (said["outcome"], said["undelivered"]) == ("ok", True)


async def test_a_token_expires_for_tools_too(tmp_path: Path) -> None:
    async with faulted(tmp_path, TokenExpiry(calls=1)) as (rig, _):
        key = {"authorization": f"Bearer {TOKEN}"}
        assert [(await call(rig, **key)).status for _ in range(2)] == [200, 401]


class Tape:
    """Answers what it has heard before."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, bytes], tuple[int, bytes]] = {}
        self.calls: list[Outbound] = []

    async def carry(self, call: Outbound, send: Send) -> Answer:
        self.calls.append(call)
        key = call.name, call.body
        if key not in self.heard:
            answer = await send()
            self.heard[key] = answer.status, await read(answer)
        return Made(*self.heard[key], {"content-type": "application/json"})


@pytest.mark.parametrize("struck", [False, True])
@pytest.mark.parametrize("name", ["refund", "fails"])
async def test_a_tape_answers_in_the_tools_place(tmp_path: Path, struck: bool, name: str) -> None:
    async with faulted(tmp_path, *([LateResult()] if struck else [])) as (rig, _):
        rig.context.tape = tape = Tape()
        first, second = [await call(rig, name) for _ in range(2)]
        assert (first.status, first.body) == (second.status, second.body)
        assert {(one.tool, one.body) for one in tape.calls} == {(name, b'{"order":7}')}
        outcome = "ok" if name == "refund" else "fail"
        ends = [entry.attrs for entry in rig.entries("commit")]
        assert [end["outcome"] for end in ends] == [outcome] * 2
        assert len({end["result"] for end in ends}) == 1
        assert not any("executed" in end or "undelivered" in end for end in ends)


async def test_a_tool_whose_failure_was_hidden_still_failed(tmp_path: Path) -> None:
    async with faulted(tmp_path, HtmlPage(executed=True)) as (rig, _):
        assert b"<html>" in (await call(rig, "fails")).body
        said = commit(rig)
        assert (said["outcome"], said["undelivered"]) == ("fail", True)
        assert "no such order" in said["error"]
        assert carried_out(said) == 0


@pytest.mark.parametrize("fault", [Latency(ms=1), Reset(executed=True)])
async def test_a_tool_that_is_not_there_is_missing_though_a_fault_struck(
    tmp_path: Path, fault: Fault
) -> None:
    away = {"type": "http", "name": "away", "url": "http://127.0.0.1:9/x", "method": "POST"}
    async with tool_rig(tmp_path, [away]) as rig:
        disturb(rig.context, [fault])
        await fetch(f"{rig.base}/tools/away", b"{}")
        await rig.until("commit")
        said = commit(rig)
        assert (said["infra"], said["struck"]) == (True, [fault.kind])


async def test_a_call_that_waits_when_its_trial_ends_never_reaches_its_tool(tmp_path: Path) -> None:
    async with faulted(tmp_path, Latency(ms=60_000), waits=True) as (rig, _):
        calling = asyncio.create_task(call(rig))
        await rig.until("fault")
        rig.context.bindings.end(TOKEN)
        got = await calling
        assert (got.status, got.ended) == (0, "reset")
        said = commit(rig)
        assert (said["outcome"], said["executed"], said["struck"]) == ("fail", False, ["latency"])


async def test_many_answers_that_stand_still_end_with_their_trial(tmp_path: Path) -> None:
    async with faulted(tmp_path, Stall(after_bytes=5, for_s=600), waits=True) as (rig, _):
        calls = [asyncio.create_task(call(rig)) for _ in range(100)]
        for _ in range(1000):
            if len(rig.entries("fault")) == 100:
                break
            await asyncio.sleep(0.01)
        rig.context.bindings.end(TOKEN)
        assert {got.ended for got in await asyncio.gather(*calls)} == {"reset"}
        said = [entry.attrs for entry in rig.entries("commit")]
        assert {one["undelivered"] for one in said} == {True} and len(said) == 100


async def test_a_fault_that_only_looks_takes_nothing_from_what_the_model_is_told(
    tmp_path: Path,
) -> None:
    looks = RateLimit.model_validate({"probability": 0, "limit": {"concurrency": 9}})
    async with faulted(tmp_path, looks) as (rig, _):
        rig.context.admission.watch = Settings(repeat=Steps(2, 3, 4), idle_ms=60_000)
        bodies = [msgspec.json.decode((await call(rig, "fails")).body) for _ in range(3)]
        assert ["warning" in body for body in bodies] == [False, False, True]
