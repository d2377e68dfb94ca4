"""Streams without their last event, and what that is in each API."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, call_at, events_of, fault_rig, said_in, through, whole
from llm_rig import turn
from proofrig.faults.drop_terminal import DropTerminal

TEXT = "one two three four five six seven eight"
RESPONSE = b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
NOTE = b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'


@pytest.mark.parametrize(
    ("api", "keep", "dropped"),
    [
        ("chat_completions", "nothing", 3),  # the finish, the usage, [DONE]
        ("chat_completions", "finish", 1),
        ("responses", "nothing", 1),
        ("responses", "finish", 1),
        ("messages", "nothing", 2),
        ("messages", "finish", 1),
    ],
)
async def test_the_rest_passes_and_the_body_ends_properly(
    tmp_path: Path, api: str, keep: str, dropped: int
) -> None:
    events = said_in(api, turn(api, text=TEXT))
    async with fault_rig(tmp_path, [DropTerminal(keep=keep)]) as rig:  # type: ignore[arg-type]
        got = await rig.ask(api, stream=True)
        (end,) = rig.ends()
    assert (got.status, got.ended) == (200, "whole")
    assert got.body == b"".join(events[:-dropped])
    assert got.turn(api).text == TEXT
    assert end.attrs["struck"] == ["drop_terminal"] and "infra" not in end.attrs
    finished = (api, keep) == ("chat_completions", "finish")  # its finish is enough
    assert end.attrs["outcome"] == ("ok" if finished else "fail")
    assert end.attrs["complete"] is finished


@pytest.mark.parametrize("api", APIS)
async def test_an_error_in_its_place_is_left_out_too(api: str) -> None:
    call = call_at(form=api)
    events = said_in(api, turn(api, finish="error", error="boom"))
    seen = await through([DropTerminal()], events_of(*events), call)
    assert seen.body == b"".join(events[:-1])


@pytest.mark.parametrize(
    ("form", "events", "left"),
    [
        ("mcp", [NOTE, RESPONSE], NOTE),
        ("plain", [b"data: 1\n\n", b"data: [DONE]\n\n"], b"data: 1\n\n"),
        ("plain", [b"data: 1\n\n", b"data: 2\n\n"], None),
    ],
)
async def test_other_streams(form: str, events: list[bytes], left: bytes | None) -> None:
    call = call_at("tool", form)
    seen = await through([DropTerminal()], events_of(*events), call)
    assert seen.body == (b"".join(events) if left is None else left)
    assert len(seen.facts) == (left is not None)


@pytest.mark.parametrize("api", APIS)
async def test_a_model_behind_the_egress_gateway_is_known_by_its_events(api: str) -> None:
    events = said_in(api)
    direct, plain = [
        await through([DropTerminal()], events_of(*events), call)
        for call in (call_at(form=api), call_at("egress", "plain"))
    ]
    assert plain.body == direct.body != b"".join(events)


async def test_a_whole_body_is_not_struck() -> None:
    seen = await through([DropTerminal()], whole(b'{"id": 1}'))
    assert (seen.body, seen.facts) == (b'{"id": 1}', [])
