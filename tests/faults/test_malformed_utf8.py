"""Bytes that are no UTF-8, and where they are put."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, call_at, events_of, fault_rig, said_in, through, whole
from proofrig.faults.malformed_utf8 import MalformedUtf8
from proofrig.wire.answer import Made


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (whole(b'{"id": "abc", "text": "hello"}'), b'{"id": "abc", "text": "he\xffllo"}'),
        (whole(b'{"id": "abcd"}'), b'{"id": "ab\xffcd"}'),
        (whole(b'{"text": "", "b": ["xy", 1]}'), b'{"text": "", "b": ["x\xffy", 1]}'),
        (whole(rb'{"result": "\u00e9\n"}'), b'{"result": "\\u00e9\xff\\n"}'),
        (whole(rb'{"result": "\"\""}'), b'{"result": "\\"\xff\\""}'),
        (whole(b"plain text", "text/plain"), b"plain\xff text"),
        (whole(b"<p>hi</p>", "text/html"), b"<p>h\xffi</p>"),
        (whole(b'{"a": 1, "key": ""}'), None),
        (whole(b"12"), None),
        (whole(b"", "text/plain"), None),
        (whole(b"\x89PNG....", "image/png"), None),
        (Made(200, b'{"text": "hello"}', {"content-encoding": "gzip"}), None),
    ],
)
async def test_a_whole_body(answer: Made, body: bytes | None) -> None:
    before = answer._whole
    seen = await through([MalformedUtf8()], answer)
    assert seen.body == (before if body is None else body)
    assert len(seen.facts) == (body is not None)
    if body is not None:
        at = seen.facts[0]["at_byte"]
        assert seen.body[:at] + seen.body[at + 1 :] == before and seen.said == len(body)


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("api", APIS)
async def test_one_event_with_output(api: str, after: int) -> None:
    events = said_in(api)
    call = call_at(form=api)
    doubled = [event for event in events for _ in range(1 + 2 * (b"delta" in event))]
    seen = await through([MalformedUtf8(after_events=after)], events_of(*doubled), call)
    broken = [place for place, chunk in enumerate(seen.chunks) if b"\xff" in chunk]
    first = next(
        place for place, chunk in enumerate(seen.chunks) if b"hello" in chunk.replace(b"\xff", b"")
    )
    assert broken == [first + after]
    assert seen.body.replace(b"\xff", b"") == b"".join(doubled)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_the_agent_gets_it_and_the_call_is_no_fault_of_the_provider(
    tmp_path: Path, api: str, stream: bool
) -> None:
    async with fault_rig(tmp_path, [MalformedUtf8()]) as rig:
        got = await rig.ask(api, stream=stream)
        (end,) = rig.ends()
    assert got.ended == "whole"
    with pytest.raises(UnicodeDecodeError):
        got.body.decode()
    assert end.attrs["struck"] == ["malformed_utf8"] and "infra" not in end.attrs
    assert stream or end.attrs["outcome"] == "fail"
