"""Stdio MCP servers behind real taps, with faults and a tape in the way of their calls."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proofrig.faults.duplicate_delivery import DuplicateDelivery
from proofrig.faults.error_object import ErrorObject
from proofrig.faults.fault import Fault
from proofrig.faults.html_page import HtmlPage
from proofrig.faults.http_error import HttpError
from proofrig.faults.late_result import LateResult
from proofrig.faults.latency import Latency
from proofrig.faults.reordered_results import ReorderedResults
from proofrig.faults.reset import Reset
from proofrig.gateways.leg import Send
from proofrig.gateways.tap_command import TapPlace, tap_command
from proofrig.gateways.tool_settings import McpServerSettings
from proofrig.wire.answer import Answer, Made, read
from proofrig.wire.outbound import Outbound
from tool_rig import TOKEN, ToolRig, disturb, tool_rig

# Answers each call with how often it was called, oddly spaced; every line it gets is kept.
SERVER = """
import sys, json
for number, line in enumerate(sys.stdin, 1):
    sys.stderr.write(line)
    sys.stderr.flush()
    message = json.loads(line)
    if "id" in message:
        said = '{"id" : %s,  "result":{"times":%d}}' % (json.dumps(message["id"]), number)
        print(said, flush=True)
"""
LINE = '{"id" : 1,  "result":{"times":1}}'


@asynccontextmanager
async def faulted(
    tmp_path: Path, faults: Sequence[Fault] = (), *, waits: bool = False
) -> AsyncIterator[ToolRig]:
    async with tool_rig(tmp_path) as rig:
        if faults:
            disturb(rig.context, faults, waits=waits)
        yield rig


class Agent:
    """An agent's end of a tapped server."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr

    def say(self, **message: Any) -> None:
        self._in.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def call(self, id: Any, name: str = "add") -> None:
        self.say(id=id, method="tools/call", params={"name": name, "arguments": {"n": id}})

    async def line(self) -> str:
        return (await asyncio.wait_for(self._out.readline(), 10)).decode().removesuffix("\n")

    async def heard(self) -> Any:
        """The next line that the server got."""
        return json.loads(await asyncio.wait_for(self._err.readline(), 10))

    async def end(self) -> list[str]:
        """Hang up; what still came."""
        self._in.close()
        rest = (await asyncio.wait_for(self._out.read(), 10)).decode().splitlines()
        await self.process.wait()
        return rest


@asynccontextmanager
async def agent(rig: ToolRig, tmp_path: Path) -> AsyncIterator[Agent]:
    place = TapPlace(rig.address, TOKEN, tmp_path, str(tmp_path), os.environ["PATH"])
    settings = McpServerSettings(type="mcp", name="up", command=[sys.executable, "-c", SERVER])
    process = await asyncio.create_subprocess_exec(
        *tap_command(settings, place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Agent(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def ends(rig: ToolRig) -> list[dict[str, Any]]:
    kept = ("outcome", "struck", "executed", "undelivered", "infra")
    return [
        {name: entry.attrs[name] for name in kept if name in entry.attrs}
        for entry in rig.entries("commit")
    ]


@pytest.mark.parametrize(
    ("faults", "struck"),
    [([], []), ([Latency(on={"tool": "other"})], []), ([LateResult()], ["late_result"])],
)
async def test_bytes_are_the_servers_own(
    tmp_path: Path, faults: list[Fault], struck: list[str]
) -> None:
    async with faulted(tmp_path, faults) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        assert await asking.line() == LINE
        asking.call(2)
        assert await asking.end() == ['{"id" : 2,  "result":{"times":2}}']
        assert ends(rig) == [{"outcome": "ok"} | ({"struck": struck} if struck else {})] * 2


async def test_a_late_result_is_overtaken(tmp_path: Path) -> None:
    late = LateResult(by_s=0.2, on={"nth": 1})
    async with faulted(tmp_path, [late], waits=True) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        asking.call(2)
        asking.say(id=3, method="ping")
        assert [json.loads(await asking.line())["id"] for _ in range(3)] == [2, 3, 1]


async def test_results_are_reordered(tmp_path: Path) -> None:
    fault = ReorderedResults(within_s=30)
    async with faulted(tmp_path, [fault], waits=True) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        asking.call(2)
        assert [json.loads(await asking.line())["id"] for _ in range(2)] == [2, 1]


async def test_a_call_that_is_late_is_overtaken_on_its_way(tmp_path: Path) -> None:
    late = Latency(ms=200, times=1)
    async with faulted(tmp_path, [late], waits=True) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        asking.say(id=2, method="ping")
        assert [(await asking.heard())["id"] for _ in range(2)] == [2, 1]
        assert [json.loads(await asking.line())["id"] for _ in range(2)] == [2, 1]


@pytest.mark.parametrize(
    ("fault", "heard", "end"),
    [
        (HttpError(status=429), 0, {"outcome": "fail", "executed": False}),
        (ErrorObject(), 1, {"outcome": "ok", "undelivered": True}),
    ],
)
async def test_a_fault_that_answers_knows_whose_request_it_is(
    tmp_path: Path, fault: Fault, heard: int, end: dict[str, Any]
) -> None:
    async with faulted(tmp_path, [fault]) as rig, agent(rig, tmp_path) as asking:
        asking.call("q")
        said = json.loads(await asking.line())
        assert said["id"] == "q" and ("error" in said or said["result"])
        asking.say(id="last", method="ping")
        assert json.loads(await asking.line())["result"]["times"] == heard + 1
        assert ends(rig) == [end | {"struck": [fault.kind]}]


async def test_what_is_no_message_ends_the_call_too(tmp_path: Path) -> None:
    async with faulted(tmp_path, [HtmlPage()]) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        assert "<" in await asking.line()
        assert [(one["struck"], one["outcome"]) for one in ends(rig)] == [(["html_page"], "fail")]


async def test_a_result_comes_twice(tmp_path: Path) -> None:
    fault = DuplicateDelivery(what="result")
    async with faulted(tmp_path, [fault]) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        assert [await asking.line() for _ in range(2)] == [LINE, LINE]
        assert ends(rig)[0]["outcome"] == "ok"


async def test_a_request_that_is_delivered_twice_acts_twice(tmp_path: Path) -> None:
    async with faulted(tmp_path, [DuplicateDelivery()]) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        first, again = await asking.heard(), await asking.heard()
        assert first["params"] == again["params"] and first["id"] != again["id"]
        assert await asking.line() == LINE
        assert await asking.end() == []
        assert ends(rig) == [{"outcome": "ok", "struck": ["duplicate_delivery"]}]


async def test_a_break_ends_the_server_for_its_agent(tmp_path: Path) -> None:
    async with faulted(tmp_path, [Reset()]) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        assert await asking.line() == ""  # the end of its output
        await asking.process.wait()
        assert ends(rig) == [{"outcome": "fail", "struck": ["reset"], "executed": False}]


@pytest.mark.parametrize(
    ("fault", "heard", "end"),
    [
        (Latency(ms=60_000), [], {"outcome": "fail", "executed": False}),
        (LateResult(by_s=60), [1], {"outcome": "ok", "undelivered": True}),
    ],
)
async def test_a_call_that_is_cancelled_meanwhile_is_withdrawn(
    tmp_path: Path, fault: Fault, heard: list[int], end: dict[str, Any]
) -> None:
    async with faulted(tmp_path, [fault], waits=True) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        await rig.until("fault")
        asking.say(method="notifications/cancelled", params={"requestId": 1})
        asking.say(id=2, method="ping")
        assert json.loads(await asking.line())["id"] == 2
        got = [(await asking.heard()).get("id") for _ in range(len(heard) + 2)]
        assert got == [*heard, None, 2]
        assert await asking.end() == []
        assert ends(rig) == [end | {"struck": [fault.kind]}]


async def test_an_agent_that_hangs_up_meanwhile_leaves_nothing_open(tmp_path: Path) -> None:
    late = Latency(ms=60_000)
    async with faulted(tmp_path, [late], waits=True) as rig, agent(rig, tmp_path) as asking:
        asking.call(1)
        await rig.until("fault")
        assert await asking.end() == []
        await rig.until("commit")
        assert ends(rig) == [{"outcome": "fail", "struck": ["latency"], "executed": False}]


class Tape:
    """Answers what it has heard before, whatever its id was."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}
        self.calls: list[Outbound] = []

    async def carry(self, call: Outbound, send: Send) -> Answer:
        self.calls.append(call)
        if call.name not in self.heard:
            self.heard[call.name] = await read(await send())
        return Made(200, self.heard[call.name], {"content-type": "application/json"})


async def test_a_tape_answers_in_the_servers_place(tmp_path: Path) -> None:
    async with faulted(tmp_path) as rig:
        rig.context.tape = tape = Tape()
        async with agent(rig, tmp_path) as asking:
            asking.call(1)
            assert await asking.line() == LINE
            asking.call(2)
            assert json.loads(await asking.line()) == {
                "jsonrpc": "2.0",
                "id": 2,
                "result": {"times": 1},
            }
            assert (await asking.heard())["id"] == 1
            assert await asking.end() == []
        assert [(one.server, one.tool, one.body) for one in tape.calls] == [
            ("up", "add", b'{"n":1}'),
            ("up", "add", b'{"n":2}'),
        ]
        assert ends(rig) == [{"outcome": "ok"}] * 2
