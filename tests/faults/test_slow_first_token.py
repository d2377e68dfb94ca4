"""The first output comes late; what comes before it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, call_at, events_of, fault_rig, said_in, through, whole
from proofrig.faults.injector import Injector
from proofrig.faults.slow_first_token import SlowFirstToken
from proofrig.wire.answer import Answer, Made

FRAMING = {"chat_completions": 1, "responses": 4, "messages": 2}


async def passed_before_the_wait(answer: Answer, form: str) -> tuple[list[bytes], bytes]:
    """The chunks that come before the fault waits, and the whole body."""
    came: list[bytes] = []
    before: list[bytes] = []

    async def sleep(seconds: float) -> None:
        before.extend(came)

    call = call_at("llm", form)
    injector = Injector(
        [SlowFirstToken(s=3)],
        1,
        lambda: 0,
        lambda *_: None,
        None,
        sleep=sleep,  # type: ignore[arg-type]
    )
    ((fault, hit),) = injector.upon(call)

    async def onward() -> Answer:
        return answer

    got = await fault.strike(hit, onward)
    while chunk := await got.readany():
        came.append(chunk)
    return before, b"".join(came)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_framing_passes_and_output_waits(api: str, together: bool) -> None:
    events = said_in(api)
    sent = [b"".join(events)] if together else events
    before, body = await passed_before_the_wait(events_of(*sent), api)
    assert b"".join(before) == b"".join(events[: FRAMING[api]])
    assert body == b"".join(events)


async def test_an_event_that_began_in_an_earlier_chunk_waits_with_what_is_left_of_it() -> None:
    events = said_in("messages")
    half = events[2][:20]
    sent = [b"".join(events[:2]) + half, events[2][20:] + b"".join(events[3:])]
    before, body = await passed_before_the_wait(events_of(*sent), "messages")
    assert b"".join(before) == b"".join(events[:2]) + half
    assert body == b"".join(events)


@pytest.mark.parametrize(
    ("answer", "slept"),
    [
        (whole(b'{"result": 1}'), [5.0]),
        (whole(b""), []),
        (events_of(b": hello\n\n"), []),
        (events_of(b": hello\n\n", b"data: 1\n\n"), [5.0]),
        (Made(200, b"\x1f\x8b-zipped", {"content-encoding": "gzip"}), [5.0]),
    ],
)
async def test_other_bodies_wait_before_their_first_byte(answer: Made, slept: list[float]) -> None:
    seen = await through([SlowFirstToken(s=5)], answer)
    assert seen.slept == slept
    assert [fact["lasts_ns"] for fact in seen.facts] == [round(s * 1e9) for s in slept]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_agent_gets_all_of_it(tmp_path: Path, stream: bool) -> None:
    async with fault_rig(tmp_path, [SlowFirstToken(s=9)]) as rig:
        got = await rig.ask("messages", stream=stream)
        (end,) = rig.ends()
    assert (got.ended, got.turn("messages").text[:7]) == ("whole", "one two")
    assert (rig.slept, end.attrs["outcome"], end.attrs["struck"]) == (
        [9.0],
        "ok",
        ["slow_first_token"],
    )
