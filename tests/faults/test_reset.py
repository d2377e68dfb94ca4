"""Resets over real sockets: what arrives, how it ends, and what is charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fault_rig import APIS, events_of, fault_rig, said_in, through, whole
from llm_rig import turn
from proofrig.faults.reset import Reset
from proofrig.wire.answer import Made

TEXT = "one two three four five six seven eight"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("executed", [False, True])
async def test_before_the_answer_nothing_comes(
    tmp_path: Path, executed: bool, stream: bool
) -> None:
    async with fault_rig(tmp_path, [Reset(executed=executed)]) as rig:
        got = await rig.ask(stream=stream)
        (fact,), (end,) = rig.facts(), rig.ends()
        assert (got.status, got.body, got.ended) == (0, b"", "reset")
        assert rig.calls == int(executed)
        assert (fact["where"], fact["executed"]) == ("before", executed)
        assert end.attrs["struck"] == ["reset"] and "infra" not in end.attrs
        assert not any(rig.rig.reserved().values())
        if executed:  # what it cost, the provider said
            assert (end.kind, end.attrs["outcome"]) == ("commit", "fail")
            assert (end.attrs["source"], rig.rig.spent()["tokens"]) == ("measured", 17)
        else:  # nothing has left
            assert (end.kind, rig.rig.spent().get("tokens", 0)) == ("release", 0)


@pytest.mark.parametrize("api", APIS)
async def test_a_stream_breaks_after_so_many_events(tmp_path: Path, api: str) -> None:
    events = said_in(api, turn(api, text=TEXT))
    async with fault_rig(tmp_path, [Reset(after_events=6)]) as rig:
        got = await rig.ask(api, stream=True)
        (fact,), (end,) = rig.facts(), rig.ends()
    assert (got.status, got.ended) == (200, "reset")
    assert got.body == b"".join(events[:6])
    assert (fact["where"], fact["after_events"]) == ("midway", 6)
    assert (end.attrs["outcome"], end.attrs["source"]) == ("fail", "partial")
    assert (end.attrs["complete"], end.attrs["struck"]) == (False, ["reset"])
    assert "infra" not in end.attrs


async def test_a_whole_body_breaks_after_so_many_bytes(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [Reset(after_events=1, after_bytes=40)]) as rig:
        got = await rig.ask()
        (fact,), (end,) = rig.facts(), rig.ends()
    assert (len(got.body), got.ended, int(got.headers["content-length"]) > 40) == (
        40,
        "reset",
        True,
    )
    assert (fact["after_bytes"], end.attrs["outcome"]) == (40, "fail")
    assert end.attrs["actual"]["bytes"] > 40


async def test_a_turn_that_has_finished_is_charged_as_measured(tmp_path: Path) -> None:
    events = said_in("chat_completions", turn(text=TEXT))
    async with fault_rig(tmp_path, [Reset(after_events=len(events) - 1)]) as rig:
        got = await rig.ask(stream=True)
        (end,) = rig.ends()
    assert got.ended == "reset" and b"[DONE]" not in got.body
    assert (end.attrs["outcome"], end.attrs["source"]) == ("ok", "measured")
    assert end.attrs["struck"] == ["reset"]


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({"after_events": 2}, events_of(b"data: 1\n\n", b"data: 2\n\n")),
        ({"after_events": 1}, whole(b"123")),
        ({"after_bytes": 3}, whole(b"123")),
    ],
)
async def test_a_body_that_is_not_longer_is_not_struck(
    settings: dict[str, Any], answer: Made
) -> None:
    seen = await through([Reset(**settings)], answer)
    assert (seen.facts, seen.cut, seen.calls) == ([], "", 1)


def test_where_an_answer_has_begun_the_call_was_carried_out() -> None:
    with pytest.raises(ValidationError, match="expected `executed` without `after_events`"):
        Reset(executed=True, after_events=1)
