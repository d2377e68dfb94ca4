"""Conversations that continue by id, and what they cost to keep."""

from __future__ import annotations

from proofrig.gateways.conversations import Conversations
from proofrig.wire.turn import Message, Request, ToolCall, Turn, Usage


def ask(text: str, previous: str = "") -> Request:
    return Request("responses", "m", (Message("user", text),), previous_id=previous)


def reply(id: str, text: str, usage: Usage | None = None) -> Turn:
    return Turn("responses", id, "m", text, usage=usage)


def texts(request: Request | None) -> list[str] | None:
    return None if request is None else [message.text for message in request.messages]


def test_a_chain_is_read_back_whole_from_any_of_its_replies() -> None:
    kept = Conversations()
    kept.keep("t", ask("one"), reply("r1", "eins"), size=10)
    kept.keep("t", ask("two", "r1"), reply("r2", "zwei"), size=10)
    whole = kept.whole("t", ask("three", "r2"))
    assert texts(whole) == ["one", "eins", "two", "zwei", "three"]
    assert whole is not None and whole.previous_id == ""
    assert texts(kept.whole("t", ask("other", "r1"))) == ["one", "eins", "other"]


def test_instructions_that_are_sent_again_stand_once_and_first() -> None:
    kept = Conversations()
    for number, before in enumerate(("", "r0", "r1")):
        told = (Message("system", f"rule {number}"), Message("user", f"q{number}"))
        request = Request("responses", "m", told, previous_id=before)
        whole = kept.whole("t", request)
        kept.keep("t", request, reply(f"r{number}", f"a{number}"), size=10)
    assert texts(whole) == ["rule 2", "q0", "a0", "q1", "a1", "q2"]
    assert texts(kept.whole("t", ask("q3", "r2"))) == [
        "rule 2",
        "q0",
        "a0",
        "q1",
        "a1",
        "q2",
        "a2",
        "q3",
    ]


def test_what_is_not_kept_is_not_guessed() -> None:
    kept = Conversations()
    kept.keep("t", ask("one"), reply("r1", "eins"), size=10)
    kept.keep("t", ask("half", "lost"), reply("r2", "x"), size=10)
    assert kept.whole("t", ask("next", "nobody")) is None
    assert kept.whole("t", ask("next", "r2")) is None
    assert kept.whole("u", ask("next", "r1")) is None


def test_the_tokens_of_a_conversation_are_what_was_counted_else_its_bytes() -> None:
    kept = Conversations()
    kept.keep("t", ask("one"), reply("r1", "eins", Usage(input=100, output=20)), size=10)
    kept.keep("t", ask("two", "r1"), reply("r2", "zwei"), size=30)
    assert (kept.tokens("t", "r1"), kept.tokens("t", "r2")) == (120, 30 + 4 + 120)
    assert kept.tokens("t", "nobody") == 0


def test_the_oldest_go_first_when_memory_is_short() -> None:
    kept = Conversations(max_bytes=25)
    for number in range(3):
        call = ToolCall("c", "f", "x" * 4)
        turn = Turn("responses", f"r{number}", "m", "abcd", tool_calls=(call,))
        kept.keep("t", ask("q"), turn, size=2)
    assert len(kept) == 2
    assert kept.whole("t", ask("q", "r0")) is None
    assert kept.whole("t", ask("q", "r2")) is not None


def test_the_end_of_a_trial_frees_its_conversations_and_no_others() -> None:
    kept = Conversations()
    kept.keep("t", ask("one"), reply("r1", "eins"), size=10)
    kept.keep("u", ask("one"), reply("r1", "eins"), size=10)
    kept.end("t")
    kept.end("t")
    assert kept.whole("t", ask("x", "r1")) is None
    assert texts(kept.whole("u", ask("x", "r1"))) == ["one", "eins", "x"]
    assert len(kept) == 1


def test_a_reply_without_an_id_cannot_be_continued() -> None:
    kept = Conversations()
    kept.keep("t", ask("one"), reply("", "eins"), size=10)
    assert len(kept) == 0
