"""Bodies that are valid HTTP and broken JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fault_rig import APIS, events_of, fault_rig, said_in, through, whole
from llm_rig import turn
from proofrig.faults.truncated_body import TruncatedBody
from proofrig.wire.answer import Made


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, b"12345"),
        ({"share": 0}, b""),
        ({"share": 0.29}, b"12"),
        ({"bytes": 9}, b"123456789"),
        ({"bytes": 10}, None),
        ({"bytes": 99}, None),
    ],
)
async def test_a_whole_body(settings: dict[str, Any], left: bytes | None) -> None:
    seen = await through([TruncatedBody(**settings)], whole(b"1234567890"))
    expected = b"1234567890" if left is None else left
    assert (seen.body, seen.said) == (expected, len(expected))
    told = [{"bytes": fact["bytes"], "of": fact["of"]} for fact in seen.facts]
    assert told == ([] if left is None else [{"bytes": len(left), "of": 10}])


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, b"data: 1\n\nda"),
        ({"after_events": 0}, b"dat"),
        ({"after_events": 0, "bytes": 6}, b"data: "),
        ({"after_events": 2}, None),
        ({"after_events": 1, "bytes": 500}, None),
    ],
)
@pytest.mark.parametrize("together", [False, True])
async def test_a_stream_ends_inside_an_event(
    settings: dict[str, Any], left: bytes | None, together: bool
) -> None:
    events = [b"data: 1\n\n", b"data:\n\n"]
    sent = [b"".join(events)] if together else events
    seen = await through([TruncatedBody(**settings)], events_of(*sent))
    assert seen.body == (b"".join(events) if left is None else left)
    assert (len(seen.facts), seen.cut) == (left is not None, "")


async def test_a_compressed_body_says_still_that_it_is() -> None:
    zipped = Made(200, b"\x1f\x8b" + b"z" * 8, {"content-encoding": "gzip"})
    seen = await through([TruncatedBody()], zipped)
    assert (seen.body, seen.headers["content-encoding"]) == (b"\x1f\x8bzzz", "gzip")


@pytest.mark.parametrize("api", APIS)
async def test_the_agent_gets_a_proper_end_of_something_broken(tmp_path: Path, api: str) -> None:
    async with fault_rig(tmp_path, [TruncatedBody(after_events=4)]) as rig:
        plain = await rig.ask(api)
        streamed = await rig.ask(api, stream=True)
        ends = rig.ends()
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(plain.body)
    assert (plain.ended, plain.headers["content-length"]) == ("whole", str(len(plain.body)))
    events = said_in(api, turn(api, text="one two three four five six seven eight"))
    assert streamed.ended == "whole"
    assert streamed.body.startswith(b"".join(events[:4])) and len(streamed.body) < len(
        b"".join(events[:5])
    )
    assert [end.attrs["outcome"] for end in ends] == ["fail", "fail"]
    assert all("infra" not in end.attrs for end in ends)
