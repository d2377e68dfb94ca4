"""Bodies without an end, over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, fault_rig, said_in
from llm_rig import turn
from proofrig.faults.close_early import CloseEarly

TEXT = "one two three four five six seven eight"


@pytest.mark.parametrize("api", APIS)
async def test_what_came_before_arrives_and_the_body_has_no_end(tmp_path: Path, api: str) -> None:
    async with fault_rig(tmp_path, [CloseEarly(after_events=3, after_bytes=25)]) as rig:
        streamed = await rig.ask(api, stream=True)
        plain = await rig.ask(api)
        ends = rig.ends()
    assert (streamed.ended, plain.ended) == ("close", "close")
    assert streamed.body == b"".join(said_in(api, turn(api, text=TEXT))[:3])
    assert (len(plain.body), plain.status) == (25, 200)
    assert [end.attrs["outcome"] for end in ends] == ["fail", "fail"]
    assert [end.attrs["struck"] for end in ends] == [["close_early"]] * 2


async def test_before_the_answer_nothing_comes(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [CloseEarly()]) as rig:
        got = await rig.ask()
        assert (got.status, got.body, got.ended, rig.calls) == (0, b"", "close", 0)
