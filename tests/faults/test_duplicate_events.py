"""Events that come twice, and which."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_rig import APIS, call_at, events_of, fault_rig, said_in, through, whole
from proofrig.faults.duplicate_events import DuplicateEvents

WORDS = ["one", " two", " three", " four", " five", " six", " seven", " eight"]


@pytest.mark.parametrize("api", APIS)
async def test_the_agent_reads_the_text_twice(tmp_path: Path, api: str) -> None:
    async with fault_rig(tmp_path, [DuplicateEvents()]) as rig:
        got = await rig.ask(api, stream=True)
        (end,) = rig.ends()
    doubled = "".join(word * 2 for word in WORDS)
    assert doubled in got.body.decode() or got.body.count(b"seven") >= 2
    assert (got.ended, end.attrs["struck"]) == ("whole", ["duplicate_events"])
    if api != "responses":  # whose last event says again what the text is
        assert got.turn(api).text == doubled


async def test_all_events_or_a_share_of_them_drawn_by_the_seed() -> None:
    events = said_in("chat_completions")
    seen = await through([DuplicateEvents(which="all")], events_of(*events))
    assert seen.chunks == [event * 2 for event in events]
    plain = [b"data: %d\n\n" % n for n in range(400)]
    call = call_at("egress", "plain")
    bodies = [
        (await through([DuplicateEvents(share=0.25)], events_of(*sent), call)).body
        for sent in (plain, [b"".join(plain)])
    ]
    assert bodies[0] == bodies[1]  # chunks are not drawn for
    assert 60 <= bodies[0].count(b"data") - 400 <= 140


@pytest.mark.parametrize("settings", [{"share": 0}, {}])
async def test_what_has_no_such_event_is_not_struck(settings: dict[str, float]) -> None:
    answer = events_of(b": note\n\n", b"data: [DONE]\n\n") if not settings else whole(b"{}")
    seen = await through([DuplicateEvents(**settings)], answer)  # type: ignore[arg-type]
    assert seen.facts == []
