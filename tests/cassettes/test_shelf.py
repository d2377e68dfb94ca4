"""Which recorded answer a request gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cassette_tapes import (
    asks,
    call,
    chat,
    drained,
    never,
    played,
    player,
    recorded,
    result,
    says,
    streamed,
)
from proofrig.cassettes.cassette import Cassette, load
from proofrig.cassettes.player import Player
from proofrig.cassettes.recorder import Recorder, RecorderSettings, Send
from proofrig.gateways.leg import Tape
from proofrig.wire.answer import Answer
from proofrig.wire.outbound import Outbound


async def texts(tape: Player, *calls: Outbound) -> list[str]:
    """What each call gets: the text of a recorded answer, or `miss`."""
    found = []
    for one in calls:
        chunks, _ = await played(tape, one)
        body = b"".join(chunks)
        found.append("miss" if b"replay_miss" in body else body.decode())
    return found


async def tape_of(folder: Path, *bodies: Any, **more: Any) -> Cassette:
    """A cassette whose answers are their numbers."""
    given = [(call(body, **more), says(number)) for number, body in enumerate(bodies)]
    return await recorded(folder, given)


async def test_the_very_bytes_come_before_the_canonical_form(tmp_path: Path) -> None:
    one, two = (chat(f"at 2026-11-21T09:00:0{n}Z") for n in range(2))
    tape = player(await tape_of(tmp_path, one, two))
    assert await texts(tape, call(two), call(one)) == ["1", "0"]


async def test_of_equals_the_first_recorded_comes_first_and_each_once(tmp_path: Path) -> None:
    cassette = await tape_of(tmp_path, chat("hi"), chat("hi"))
    assert await texts(player(cassette), *[call(chat("hi"))] * 3) == ["0", "1", "miss"]
    changed = call(chat("hi", prompt_cache_key="x"))
    assert await texts(player(cassette), changed, call(chat("hi")), changed) == ["0", "1", "miss"]


async def test_a_trial_gets_its_own_exchanges(tmp_path: Path) -> None:
    given = [(call(chat("hi"), trial=f"case:{n}"), says(n)) for n in range(3)]
    tape = player(await recorded(tmp_path, given))
    calls = [call(chat("hi"), trial=f"case:{n}") for n in (2, 0, 1, 2)]
    assert await texts(tape, *calls) == ["2", "0", "1", "miss"]


async def test_a_further_attempt_at_a_trial_gets_those_of_the_first(tmp_path: Path) -> None:
    cassette = await recorded(
        tmp_path,
        [
            (call(chat("hi"), trial="case:1"), says(1)),
            (call(chat("hi"), trial="case:2"), says(2)),
            (call(chat("hi"), trial="case:2~2"), says(22)),
        ],
    )
    names = ("case:1", "case:1~2", "case:1~3", "case:2~2", "case:2", "case:3")
    calls = [call(chat("hi"), trial=name) for name in names]
    assert await texts(player(cassette), *calls) == ["1", "1", "1", "22", "2", "miss"]


async def test_an_answer_that_was_not_taken_to_its_end_is_free_again(tmp_path: Path) -> None:
    tape = player(await tape_of(tmp_path, chat("hi")))
    broken_off = await tape.carry(call(chat("hi")), never)
    broken_off.close()
    assert tape.left("case:1") == 1
    assert await texts(tape, call(chat("hi")), call(chat("hi"))) == ["0", "miss"]
    assert tape.left("case:1") == 0


async def test_free_again_it_is_found_by_its_canonical_form_too(tmp_path: Path) -> None:
    tape = player(await tape_of(tmp_path, chat("hi"), chat("hi", asks("c"), result("c", "1"))))
    changed = call(chat("hi", prompt_cache_key="x"))
    (await tape.carry(changed, never)).close()
    assert await texts(tape, changed, changed) == ["0", "miss"]


async def test_a_retry_gets_the_recorded_attempts_and_then_the_last(tmp_path: Path) -> None:
    one = call(chat("hi"))
    retry = replace(one, headers={"x-stainless-retry-count": "1"})
    given = [(one, says({"n": 0}, 429)), (retry, says({"n": 1}))]
    cassette = await recorded(tmp_path, given)
    assert [exchange.attempt for exchange in cassette.exchanges] == [1, 2]
    assert len({(e.lineage, e.turn) for e in cassette.exchanges}) == 1
    tape = player(cassette)
    answers = [await tape.carry(each, never) for each in (one, retry, retry)]
    assert [answer.status for answer in answers] == [429, 200, 200]
    for answer in answers:
        await drained(answer)
    assert await texts(tape, one) == ["miss"]


async def test_replies_that_are_named_keep_branches_apart(tmp_path: Path) -> None:
    """Two branches say the same; only what they go on from differs."""

    def request(text: str, before: str = "", seed: int = 1) -> Outbound:
        fields = {
            "input": text,
            "seed": seed,
            **({"previous_response_id": before} if before else {}),
        }
        return call(fields, form="responses")

    given = []
    for branch in "ab":
        given.append((request(branch), says({"id": f"resp_{branch}{branch}", "n": f"{branch}0"})))
    for branch in "ab":
        given.append(
            (request("on", f"resp_{branch}{branch}"), says({"id": "x", "n": f"{branch}1"}))
        )
    cassette = await recorded(tmp_path, given)
    assert len({exchange.lineage for exchange in cassette.exchanges}) == 2
    calls = [
        replace(one, body=one.body[:-1] + b',"prompt_cache_key":"anew"}')
        for one in (request("a"), request("b"), request("on", "resp_bb"), request("on", "resp_aa"))
    ]
    found = await texts(player(cassette), *calls)
    assert [text.split('"n":"')[1][:2] for text in found] == ["a0", "b0", "b1", "a1"]


async def test_calls_of_tools_are_found_by_tool_and_arguments(tmp_path: Path) -> None:
    def tool(name: str, **arguments: Any) -> Outbound:
        return call(arguments, form="tool", tool=name)

    given = [
        (tool("look", q="x"), says(0)),
        (tool("pay", q="x"), says(1)),
        (tool("look", q="y"), says(2)),
    ]
    tape = player(await recorded(tmp_path, given))
    calls = [tool("look", q="y"), tool("pay", q="x"), tool("look", q="x"), tool("pay", q="y")]
    assert await texts(tape, *calls) == ["2", "1", "0", "miss"]


async def test_a_trial_that_ended_begins_anew(tmp_path: Path) -> None:
    tape = player(await tape_of(tmp_path, chat("hi")))
    assert await texts(tape, call(chat("hi"))) == ["0"]
    tape.end("case:1")
    assert await texts(tape, call(chat("hi"))) == ["0"]


async def test_what_was_cut_when_it_was_recorded_is_cut_again_and_used_up(tmp_path: Path) -> None:
    one, chunks = call(chat("hi")), [b"data: a\n\n", b"data: b\n\n"]
    recorder = Recorder(tmp_path, RecorderSettings())

    async def send() -> Answer:
        return streamed(chunks)

    async def cut_after_one(tape: Tape, send: Send) -> list[bytes]:
        answer = await tape.carry(one, send)
        got = [await answer.readany()]
        answer.close()
        return [*got, *(await drained(await tape.carry(one, send)))[0]]

    live = await cut_after_one(recorder, send)
    recorder.close()
    cassette = load(tmp_path)
    assert [exchange.end for exchange in cassette.exchanges] == ["client_gone", "complete"]
    tape = player(cassette)
    assert await cut_after_one(tape, never) == live
    assert tape.left("case:1") == 0
