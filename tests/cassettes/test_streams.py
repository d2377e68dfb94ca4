"""Secrets that a model tells in pieces."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cassette_tapes import call, chat, recorded, streamed
from proofrig.cassettes.redaction import Redactor, applied
from proofrig.cassettes.streams import told_in_pieces

SECRET = "sk-proj-abcdEFGH1234567890"


def chat_event(text: str, index: int = 0) -> bytes:
    delta = {"choices": [{"index": index, "delta": {"content": text}}], "model": "m"}
    return b"data: " + msgspec.json.encode(delta) + b"\n\n"


def cleaned(body: bytes, **named: str) -> tuple[bytes, Redactor]:
    redactor = Redactor(b"salt", named)
    return applied(body, told_in_pieces(redactor, body)), redactor


def texts(body: bytes) -> str:
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: {")]
    found = [msgspec.json.decode(line)["choices"][0]["delta"]["content"] for line in lines]
    return "|".join(found)


def test_a_secret_over_several_events_stands_where_it_began() -> None:
    parts = ["the key is sk-pr", "oj-abcd", "EFGH12345", "67890 and on"]
    body = b"".join(map(chat_event, parts)) + b"data: [DONE]\n\n"
    clean, redactor = cleaned(body)
    first, *others = texts(clean).split("|")
    assert first.startswith("the key is [redacted:openai-key:")
    assert others == ["", "", " and on"]
    assert clean.endswith(b"data: [DONE]\n\n")
    assert redactor.counts == {"openai-key": 1}


def test_texts_that_grow_side_by_side_are_kept_apart() -> None:
    body = chat_event(SECRET[:9], 0) + chat_event("other", 1) + chat_event(SECRET[9:], 0)
    clean, _ = cleaned(body)
    assert SECRET[9:].encode() not in clean
    assert chat_event("other", 1) in clean


def test_two_secrets_in_the_same_events() -> None:
    body = chat_event(f"a {SECRET[:5]}") + chat_event(f"{SECRET[5:]} b named-") + chat_event("word")
    clean, redactor = cleaned(body, NAME="named-word")
    assert texts(clean).count("[redacted:") == 2
    assert "named-" not in texts(clean)
    assert redactor.counts == {"openai-key": 1, "env-NAME": 1}


def test_arguments_and_named_events_are_searched() -> None:
    def event(part: str) -> bytes:
        value = {"type": "d", "index": 1, "delta": {"type": "j", "partial_json": part}}
        return b"event: content_block_delta\ndata: " + msgspec.json.encode(value) + b"\n\n"

    clean, _ = cleaned(event('{"key": "sk-proj-abcd') + event('EFGH1234567890"}'))
    assert b"EFGH1234567890" not in clean
    assert clean.count(b"event: content_block_delta\ndata: {") == 2


def test_events_without_secrets_keep_their_bytes() -> None:
    body = (
        b'data: {"choices": [ ]}\n\n: ping\n\ndata: not json\n\n'
        + chat_event("a")
        + chat_event("b")
    )
    assert cleaned(body)[0] == body


async def test_half_a_key_in_one_event_is_no_whole_one(tmp_path: Path) -> None:
    parts = ["it is sk-proj-abcdEFGH123456", "7890tail-of-it and on"]
    given = [(call(chat("stream")), streamed(map(chat_event, parts)))]
    cassette = await recorded(tmp_path, given)
    body = cassette.response(cassette.exchanges[0])
    assert texts(body).endswith("]| and on")
    assert b"tail-of-it" not in body
