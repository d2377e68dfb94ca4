"""What a miss says."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cassette_tapes import asks, call, chat, played, player, recorded, result, says
from proofrig.cassettes.miss import SHOWN, Miss
from proofrig.wire.outbound import Outbound

HISTORY = ["hi", asks("c1", q="x"), result("c1", "42")]


async def miss_of(tmp_path: Path, asked: object, *before: object) -> Miss:
    """The miss of a request, after those that were recorded: two turns of a chat, and another."""
    calls = [call(chat(*HISTORY[:1])), call(chat(*HISTORY)), call(chat("something else"))]
    cassette = await recorded(tmp_path, [(one, says()) for one in calls])
    found: list[Miss] = []
    tape = player(cassette, on_miss=lambda _, miss: found.append(miss))
    for one in (*before, asked):
        await played(tape, call(one))
    (miss,) = found
    return miss


async def test_the_first_field_that_differs_is_named(tmp_path: Path) -> None:
    said = [*HISTORY[:2], result("other", "43 at 2026-11-21T09:00:00Z")]
    said[1] = asks("other", q="x")
    miss = await miss_of(tmp_path, chat(*said), chat("hi"))
    assert (miss.kind, miss.trial, miss.channel) == ("differs", "case:1", "llm")
    assert miss.path == "$.messages[2].content"
    assert (miss.recorded, miss.asked) == ('"42"', '"43 at <timestamp>"')
    assert miss.rules == ["timestamp"]
    assert (miss.last_common, miss.turn) == (0, 1)
    assert [near.exchange for near in miss.nearest] == [2, 1, 3]
    assert [near.shared for near in miss.nearest] == [2, 1, 0]
    assert [near.served for near in miss.nearest] == [False, True, False]
    assert msgspec.json.decode(msgspec.json.encode(miss), type=Miss) == miss


async def test_fields_beside_the_conversation_are_named(tmp_path: Path) -> None:
    miss = await miss_of(tmp_path, chat("hi", temperature=0.5))
    assert miss.path == "$.temperature"
    assert (miss.recorded, miss.asked) == ("(nothing)", "0.5")
    assert miss.last_common == -1


async def test_what_is_asked_again_is_a_repeat(tmp_path: Path) -> None:
    miss = await miss_of(tmp_path, chat("hi"), chat("hi"))
    assert miss.kind == "repeat"
    assert "asked again, but exchange 1 was recorded once" in miss.message


async def test_long_values_are_cut_around_where_they_part(tmp_path: Path) -> None:
    long = "a" * 5_000
    cassette = await recorded(tmp_path, [(call(chat(long + "b" + long)), says())])
    found: list[Miss] = []
    await played(
        player(cassette, on_miss=lambda _, miss: found.append(miss)), call(chat(long + "c"))
    )
    (miss,) = found
    assert len(miss.recorded) <= SHOWN
    assert miss.recorded.startswith("…" + "a" * 20)
    assert "b" in miss.recorded
    assert miss.asked.endswith('ac"')


async def test_the_text_stands_side_by_side_and_is_no_wider_than_asked(tmp_path: Path) -> None:
    said = [*HISTORY[:2], result("c1", "43 " + "long words " * 30)]
    miss = await miss_of(tmp_path, chat(*said), chat("hi"))
    for width in (40, 60, 100):
        text = miss.text(width)
        assert max(map(len, text.split("\n"))) <= width
    rows = [line.split("│") for line in miss.text(80).split("\n") if "│" in line]
    assert rows[0][0].strip() == "recorded (exchange 2)"
    assert rows[0][1].strip() == "asked"
    assert rows[1][0].strip() == '"42"'
    assert "also near: exchange 1" in miss.text()
    assert "last common turn of lineage" in miss.text()


async def test_a_trial_that_was_not_recorded_and_a_tool_that_was_not_called(tmp_path: Path) -> None:
    cassette = await recorded(tmp_path, [(call(chat("hi")), says())])
    found: list[Miss] = []
    tape = player(cassette, on_miss=lambda _, miss: found.append(miss))
    await played(tape, call(chat("hi"), trial="case:9"))
    await played(tape, call({"q": 1}, form="tool", tool="look"))
    assert [miss.kind for miss in found] == ["unknown_trial", "nothing"]
    assert "the cassette has no such trial; it has case:1" in found[0].message
    assert "look: nothing was recorded for it in this trial" in found[1].message
    assert all(miss.text() for miss in found)


async def test_another_address_is_named(tmp_path: Path) -> None:
    def get(host: str):  # type: ignore[no-untyped-def]
        return call(b"", form="plain", surface="egress", host=host, path="/x", method="GET")

    cassette = await recorded(tmp_path, [(get("a.example"), says())])
    found: list[Miss] = []
    await played(player(cassette, on_miss=lambda _, miss: found.append(miss)), get("b.example"))
    assert found[0].path == "the address"
    assert (found[0].recorded, found[0].asked) == ('"GET a.example/x"', '"GET b.example/x"')


async def test_an_address_is_shown_without_its_keys(tmp_path: Path) -> None:
    def get(host: str) -> Outbound:
        told = {"form": "plain", "surface": "egress", "path": "/x", "query": "api_key=hidden-one"}
        return call(b"", **told, host=host, method="GET")

    cassette = await recorded(tmp_path, [(get("a.example"), says())])
    found: list[Miss] = []
    await played(player(cassette, on_miss=lambda _, miss: found.append(miss)), get("b.example"))
    assert found[0].asked.startswith('"GET b.example/x?api_key=[redacted:')
    assert "hidden-one" not in found[0].text() + found[0].message
