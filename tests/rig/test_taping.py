"""The tape of a rig: what is recorded and replayed, and what trials leave of it on the history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cassette_tapes import call, carried, chat, drained, never, says
from llm_rig import BINDING, Rig, answer, rig, turn
from proofrig.cassettes.cassette import load
from proofrig.errors import SuiteError, UsageError
from proofrig.gateways.leg import Tape
from proofrig.gateways.tool_settings import tool_settings
from proofrig.gateways.upstream import UpstreamError
from proofrig.rig.protocol import Plan, Taping
from proofrig.rig.taping import Replayed, open_tape
from proofrig.wire.outbound import Outbound

TOOLS = [
    tool_settings.validate_python(one)
    for one in (
        {"type": "http", "name": "crm", "url": "http://h.example/crm"},
        {"type": "python", "target": "tools:add"},
        {"type": "mcp", "name": "far", "url": "http://h.example/mcp"},
        {"type": "mcp", "name": "near", "command": ["server"]},
    )
]


@pytest.mark.parametrize(
    ("tools", "replayed"),
    [
        ("remote", ["llm", "egress", "crm", "far"]),
        ("all", ["llm", "egress", "crm", "add", "far", "near"]),
        ("none", ["llm", "egress"]),
    ],
)
def test_models_and_hosts_are_replayed_and_tools_as_the_plan_says(
    tools: str, replayed: list[str]
) -> None:
    calls = {
        "llm": call(chat("hi")),
        "egress": call(form="plain", surface="egress"),
        "crm": call(form="tool", tool="crm"),
        "add": call(form="tool", tool="add"),
        "far": call(form="mcp", tool="look", server="far"),
        "near": call(form="mcp", tool="look", server="near"),
    }
    found = Replayed(tools, TOOLS)
    assert [name for name, one in calls.items() if found.call(one)] == replayed


@asynccontextmanager
async def taped(folder: Path, **taping: Any) -> AsyncIterator[tuple[Rig, Tape]]:
    """A rig and its tape; the trial of `cassette_tapes.call` has begun."""
    async with rig(folder, lambda _: answer(turn())) as one:
        plan = Plan(
            run_dir=str(folder),
            origin_ns=0,
            suite_dir=str(folder),
            endpoints={},
            seed=3,
            taping=Taping(suite={"name": "desk"}, **taping),
        )
        tape = open_tape(one.context, plan, TOOLS)
        assert tape is not None
        one.context.bindings.add(replace(BINDING, token="tok", trial="case:1"))
        yield one, tape
        tape.close()


def noted(one: Rig, name: str) -> list[dict[str, Any]]:
    return [entry.attrs for entry in one.entries() if entry.name == name]


async def test_a_plan_without_taping_has_no_tape(tmp_path: Path) -> None:
    async with rig(tmp_path, lambda _: answer(turn())) as one:
        plan = Plan(run_dir=str(tmp_path), origin_ns=0, suite_dir="", endpoints={})
        assert open_tape(one.context, plan, []) is None


async def test_where_the_run_lies_is_no_part_of_a_request(tmp_path: Path) -> None:
    tape_dir = str(tmp_path / "tape")
    async with taped(tmp_path / "one", record=tape_dir) as (_, tape):
        await carried(tape, call(chat(f"look into {tmp_path}/one/world")), says(1))
    cassette = load(tmp_path / "tape")
    assert b"look into [run]/world" in cassette.request(cassette.exchanges[0])
    async with taped(tmp_path / "two", replay=tape_dir) as (other, tape):
        asked = call(chat(f"look into {tmp_path}/two/world"))
        assert await drained(await tape.carry(asked, never)) == ([b"1"], "complete")
        assert noted(other, "miss") == []


async def test_a_miss_and_what_was_not_asked_are_notes_of_their_trial(tmp_path: Path) -> None:
    tape_dir = str(tmp_path / "tape")
    async with taped(tmp_path / "one", record=tape_dir) as (_, tape):
        await carried(tape, call(chat("hi")), says(1))
    async with taped(tmp_path / "two", replay=tape_dir) as (other, tape):
        await drained(await tape.carry(call(chat("ho"), action="rig.7"), never))
        (miss,) = noted(other, "miss")
        assert (miss["call"], miss["path"]) == ("rig.7", "$.messages[0].content")
        assert (miss["recorded"], miss["asked"]) == ('"hi"', '"ho"')
        other.context.bindings.end("tok")
        assert noted(other, "unplayed") == [{"exchanges": 1}]


async def test_what_goes_out_in_record_missing_is_noted_and_recorded_anew(tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    async with taped(tmp_path / "one", record=first) as (_, tape):
        await carried(tape, call(chat("hi")), says(1))
    how = {"replay": first, "record": second, "mode": "record_missing"}
    async with taped(tmp_path / "two", **how) as (other, tape):
        await drained(await tape.carry(call(chat("hi")), never))
        await carried(tape, call(chat("ho")), says(2))
        assert len(noted(other, "recorded_anew")) == 1
    assert len(load(tmp_path / "second").exchanges) == 2


async def test_a_failure_comes_back_as_the_gateways_know_it(tmp_path: Path) -> None:
    tape_dir = str(tmp_path / "tape")
    failure = UpstreamError("no connection", status=503, definite=True)
    async with taped(tmp_path / "one", record=tape_dir) as (_, tape):
        await carried(tape, call(chat("hi")), failure)
    async with taped(tmp_path / "two", replay=tape_dir) as (_, tape):
        with pytest.raises(UpstreamError, match="no connection") as raised:
            await tape.carry(call(chat("hi")), never)
        assert (raised.value.status, raised.value.definite) == (503, True)


async def test_what_goes_through_a_tunnel_is_not_recorded(tmp_path: Path) -> None:
    def tunnel() -> Outbound:
        return call(form="plain", surface="egress", name="egress.connect", method="CONNECT")

    async with taped(tmp_path / "one", record=str(tmp_path / "tape")) as (_, tape):
        await carried(tape, tunnel(), says(1))
        assert not tape.keeps(tunnel())
    assert load(tmp_path / "tape").exchanges == []


@pytest.mark.parametrize(
    ("mode", "tools", "kept"),
    [("strict", "all", True), ("strict", "none", False), ("record_missing", "all", False)],
)
async def test_what_never_leaves(tmp_path: Path, mode: str, tools: str, kept: bool) -> None:
    tape_dir = str(tmp_path / "tape")
    async with taped(tmp_path / "one", record=tape_dir) as (_, tape):
        assert not tape.keeps(call(form="mcp", server="far"))
    async with taped(tmp_path / "two", replay=tape_dir, mode=mode, tools=tools) as (_, tape):
        assert tape.keeps(call(form="mcp", server="far")) is kept


async def test_a_cassette_that_is_none_or_was_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a cassette"):
        async with taped(tmp_path / "one", replay=str(tmp_path)):
            pass
    tape_dir = tmp_path / "tape"
    async with taped(tmp_path / "two", record=str(tape_dir)) as (_, tape):
        await carried(tape, call(chat("hi")), says(1))
    path = tape_dir / "exchanges.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"content":"hi"', b'"content":"ho"'))
    with pytest.raises(SuiteError, match=r"request\.messages\[0\]\.content"):
        async with taped(tmp_path / "three", replay=str(tape_dir)):
            pass
