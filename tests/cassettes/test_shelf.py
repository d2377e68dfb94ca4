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
        found.append("miss" if b"replay miss" in body else body.decode())
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


UUIDS = [f"{n}23e4567-e89b-12d3-a456-426614174000" for n in range(4)]


async def test_ids_that_were_others_are_others_everywhere(tmp_path: Path) -> None:
    first, _, new, more = UUIDS
    tape = player(await tape_of(tmp_path, chat(f"for {first}"), chat(f"then {first}")))
    assert await texts(tape, call(chat(f"for {new}")), call(chat(f"then {more}"))) == ["0", "miss"]
    tape = player(await tape_of(tmp_path / "b", chat(f"for {first}"), chat(f"then {first}")))
    assert await texts(tape, call(chat(f"for {new}")), call(chat(f"then {new}"))) == ["0", "1"]


async def test_the_answer_of_another_id_is_no_answer(tmp_path: Path) -> None:
    first, second, new, _ = UUIDS

    def look(id: str, **more: str) -> Outbound:
        return call({"id": id, **more}, form="tool", tool="look")

    asked = call(chat("which?")), says({"text": f"{first} or {second}"})
    given = [asked, (look(first), says("first")), (look(second), says("second"))]
    tape = player(await recorded(tmp_path, given))
    await texts(tape, call(chat("which?")))
    assert await texts(tape, look(new), look(second), look(second)) == ["miss", '"second"', "miss"]


async def test_of_equals_that_differ_in_ids_the_one_with_its_own_comes_first(
    tmp_path: Path,
) -> None:
    one, other, *_ = UUIDS
    tape = player(await tape_of(tmp_path, chat(f"for {one}"), chat(f"for {other}")))
    changed = [call(chat(f"for {id}", prompt_cache_key="x")) for id in (other, one)]
    assert await texts(tape, *changed) == ["1", "0"]


async def test_a_reply_is_gone_on_from_by_its_own_branch_alone(tmp_path: Path) -> None:
    def ask(text: str, before: str = "", **more: Any) -> Outbound:
        told = {"previous_response_id": before} if before else {}
        return call({"model": "m", "input": text, **told, **more}, form="responses")

    given = [
        (ask("one"), says({"id": "resp_aaaaaaaa1"})),
        (ask("two"), says({"id": "resp_bbbbbbbb2"})),
        (ask("go on", "resp_bbbbbbbb2"), says({"id": "resp_cccccccc3"})),
    ]
    tape = player(await recorded(tmp_path, given))
    await texts(tape, ask("one"), ask("two"))
    changed = {"prompt_cache_key": "x"}
    found = await texts(
        tape,
        ask("go on", "resp_aaaaaaaa1", **changed),
        ask("go on", "resp_bbbbbbbb2", **changed),
    )
    assert found[0] == "miss"
    assert "resp_cccccccc3" in found[1]


async def test_requests_for_pages_and_ports_are_apart(tmp_path: Path) -> None:
    def get(query: str, port: int = 443, path: str = "/orders") -> Outbound:
        told = {"form": "plain", "surface": "egress", "method": "GET", "host": "127.0.0.1"}
        return call(b"", **told, path=path, query=query, port=port)

    given = [(get("page=1"), says(1)), (get("page=2"), says(2)), (get("page=1", 8080), says(3))]
    tape = player(await recorded(tmp_path, given))
    asked = [get("page=2"), get("page=1", 8080), get("page=3"), get("page=1", 9090), get("page=1")]
    assert await texts(tape, *asked) == ["2", "3", "miss", "miss", "1"]


async def test_attempts_get_the_recorded_ones_in_their_order(tmp_path: Path) -> None:
    given = [
        (call(chat("hi"), trial=trial), says(trial)) for trial in ("case:1~3", "case:1~2", "b:1~4")
    ]
    tape = player(await recorded(tmp_path, given))
    asked = [call(chat("hi"), trial=trial) for trial in ("case:1", "case:1~2", "case:1~3", "b:1")]
    assert await texts(tape, *asked) == ['"case:1~2"', '"case:1~3"', '"case:1~2"', '"b:1~4"']
