"""Conversations held by the vendor."""

from __future__ import annotations

from proofrig.providers.threads import Threads, whole
from proofrig.wire.turn import Message, Request, Tool

SYSTEM = Message("system", "Be kind.")
HI, HELLO, MORE = Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "More?")


def asked(*messages: Message, tools: tuple[Tool, ...] = ()) -> Request:
    return Request("responses", "sim", messages, tools)


def test_a_continuation_is_the_whole_conversation() -> None:
    threads = Threads()
    threads.keep("a", "r1", asked(SYSTEM, HI), HELLO, None)
    first = threads.find("a", "r1")
    assert whole(asked(MORE), first)[0] == (SYSTEM, HI, HELLO, MORE)
    threads.keep("a", "r2", asked(MORE), Message("assistant", "Yes"), first)
    second = threads.find("a", "r2")
    assert [m.text for m in whole(asked(HI), second)[0]] == [
        "Be kind.",
        "Hi",
        "Hello",
        "More?",
        "Yes",
        "Hi",
    ]
    assert whole(asked(MORE), first)[0] == (SYSTEM, HI, HELLO, MORE)  # a branch is its own


def test_new_system_text_takes_the_old_ones_place() -> None:
    threads = Threads()
    threads.keep("a", "r1", asked(SYSTEM, HI), HELLO, None)
    stern = Message("system", "Be stern.")
    assert whole(asked(stern, MORE), threads.find("a", "r1"))[0] == (stern, HI, HELLO, MORE)
    threads.keep("a", "r2", asked(stern, MORE), HELLO, threads.find("a", "r1"))
    second = threads.find("a", "r2")
    assert whole(asked(SYSTEM, HI), second)[0] == (SYSTEM, HI, HELLO, MORE, HELLO, HI)
    assert whole(asked(HI), second)[0] == (stern, HI, HELLO, MORE, HELLO, HI)


def test_tools_stay_until_others_are_sent() -> None:
    threads = Threads()
    look, pay = (Tool("look"),), (Tool("pay"),)
    threads.keep("a", "r1", asked(HI, tools=look), HELLO, None)
    assert whole(asked(MORE), threads.find("a", "r1"))[1] == look
    assert whole(asked(MORE, tools=pay), threads.find("a", "r1"))[1] == pay


def test_a_conversation_belongs_to_its_tenant() -> None:
    threads = Threads()
    threads.keep("a", "r1", asked(HI), HELLO, None)
    assert threads.find("b", "r1") is None
    assert threads.find("a", "r2") is None
    assert whole(asked(HI), None) == ((HI,), ())
