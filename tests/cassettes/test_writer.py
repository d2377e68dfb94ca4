"""Writing cassettes: killed, gone on with, sealed anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cassette_tapes import call, carried, chat, drained, played, player, recorded, says, streamed
from proofrig.cassettes.cassette import check, load
from proofrig.cassettes.manifest import EXCHANGES
from proofrig.cassettes.recorder import Recorder, RecorderSettings
from proofrig.cassettes.writer import reseal
from proofrig.errors import InfraError, UsageError
from proofrig.wire.answer import Made
from proofrig.wire.outbound import Outbound


async def test_a_killed_recording_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RecorderSettings())
    for text in ("one", "two", "three"):
        await carried(recorder, call(chat(text)), says())
    body = (tmp_path / EXCHANGES).read_bytes()
    second = body.index(b"\n", body.index(b"\n") + 1)
    for size in range(second + 2, len(body), 97):
        (tmp_path / EXCHANGES).write_bytes(body[:size])
        cassette = load(tmp_path)
        assert [one.n for one in cassette.exchanges] == [1, 2]
        assert (cassette.torn, cassette.finished) == (True, False)


async def test_a_recording_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    first = Recorder(tmp_path, RecorderSettings())
    await carried(first, call(chat("one")), says({"key": "sk-abcdefghij1234567890"}))
    with (tmp_path / EXCHANGES).open("ab") as file:
        file.write(b'{"n":2,"torn')
    second = Recorder(tmp_path, RecorderSettings())
    await carried(second, call(chat("two")), says({"key": "sk-abcdefghij1234567890"}))
    second.close()
    cassette = load(tmp_path)
    assert [one.n for one in cassette.exchanges] == [1, 2]
    assert cassette.finished
    bodies = {cassette.response(one) for one in cassette.exchanges}
    assert len(bodies) == 1  # one salt
    assert cassette.manifest.counts["exchanges"] == 2


async def test_a_finished_recording_is_not_written_over(tmp_path: Path) -> None:
    await recorded(tmp_path, [(call(chat("one")), says())])
    with pytest.raises(UsageError, match="expected a new directory, found a finished recording"):
        Recorder(tmp_path, RecorderSettings())


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="cannot write the cassette"):
        Recorder(tmp_path / "file" / "below", RecorderSettings())


async def test_an_edit_that_is_accepted_is_replayed(tmp_path: Path) -> None:
    one, two = call(chat("one")), call(chat("two", stream=True))
    await recorded(
        tmp_path, [(one, says({"text": "old"})), (two, streamed([b"data: a\n\n", b"data: b\n\n"]))]
    )
    path = tmp_path / EXCHANGES
    text = path.read_text().replace('{"text":"old"}', '{"text":"rather new"}')
    path.write_text(
        text.replace("data: a", "data: longer").replace('"content":"two"', '"content":"2"')
    )
    assert len(check(tmp_path)) == 3
    assert reseal(tmp_path) == 2
    assert check(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == [
        "blobs",
        "exchanges.jsonl",
        "manifest.json",
        "seals.jsonl",
    ]
    tape = player(load(tmp_path))
    assert await played(tape, one) == ([b'{"text":"rather new"}'], "complete")
    chunks, end = await played(tape, call(chat("2", stream=True)))
    assert (b"".join(chunks), end) == (b"data: longer\n\ndata: b\n\n", "complete")


async def test_a_shorter_body_leaves_no_empty_chunk(tmp_path: Path) -> None:
    one = call(chat("one", stream=True))
    await recorded(tmp_path, [(one, streamed([b"data: a\n\n", b"data: b\n\n"]))])
    path = tmp_path / EXCHANGES
    path.write_text(path.read_text().replace("data: a\\n\\ndata: b\\n\\n", "data: a"))
    reseal(tmp_path)
    assert await played(player(load(tmp_path)), one) == ([b"data: a"], "complete")


async def test_what_cannot_be_read_is_not_sealed(tmp_path: Path) -> None:
    await recorded(tmp_path, [(call(chat("one")), says())])
    path = tmp_path / EXCHANGES
    before = path.read_text() + "nonsense\n"
    path.write_text(before)
    with pytest.raises(UsageError, match="what cannot be read cannot be sealed"):
        reseal(tmp_path)
    assert path.read_text() == before


async def test_equal_big_bodies_are_kept_once(tmp_path: Path) -> None:
    big = {"text": "x" * 70_000}
    cassette = await recorded(tmp_path, [(call(chat(t)), says(big)) for t in ("one", "two")])
    assert len(list((tmp_path / "blobs").iterdir())) == 1
    answers = [
        await drained(await player(cassette).carry(call(chat(t)), _never)) for t in ("one", "two")
    ]
    assert answers[0] == answers[1]


async def _never() -> None:  # type: ignore[misc]
    raise AssertionError


async def test_the_recording_of_a_run_that_goes_on_loses_what_is_run_anew(tmp_path: Path) -> None:
    def one(trial: str, text: str) -> Outbound:
        return call(chat(text), trial=trial)

    settings = RecorderSettings(run="r1")
    first = Recorder(tmp_path, settings)
    for trial, text in (("a:1", "one"), ("b:1", "half"), ("b:1~2", "half"), ("c:1", "two")):
        await carried(first, one(trial, text), says())
    first.close()
    again = Recorder(tmp_path, RecorderSettings(run="r1", anew=frozenset({"b:1"})))
    await carried(again, one("b:1~3", "whole"), says())
    again.close()
    cassette = load(tmp_path)
    assert [(e.n, e.trial) for e in cassette.exchanges] == [(1, "a:1"), (4, "c:1"), (5, "b:1~3")]
    assert cassette.manifest.counts["exchanges"] == 3
    assert check(tmp_path) == []
    with pytest.raises(UsageError, match="finished recording"):
        Recorder(tmp_path, RecorderSettings(run="r2"))


async def test_a_body_that_is_text_has_its_fields_named(tmp_path: Path) -> None:
    body = b'{"result": {"total": 41, "ok": true}}\n'  # with spaces, as json.dumps writes it
    await recorded(tmp_path, [(call(form="tool", tool="sum"), Made(200, body))])
    path = tmp_path / EXCHANGES
    path.write_bytes(path.read_bytes().replace(b"41", b"42"))
    (problem,) = check(tmp_path)
    assert "response.result.total is not as it was recorded" in str(problem)
