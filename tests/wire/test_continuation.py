"""Conversations put together from the parts that were sent one by one."""

from __future__ import annotations

import pytest

from proofrig.wire.continuation import joined
from proofrig.wire.turn import Message, Role


def messages(text: str) -> tuple[Message, ...]:
    """`s1 u1`: a system message "1" and a user message "1"."""
    roles: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return tuple(Message(roles[word[0]], word[1:]) for word in text.split())


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([], ""),
        (["", "u1"], "u1"),
        (["s1 u1 a1", "u2"], "s1 u1 a1 u2"),
        (["s1 u1 a1", "s2 u2 a2", "s3 u3"], "s3 u1 a1 u2 a2 u3"),
        (["s1 u1 a1", "s2 u2 a2", "u3"], "s2 u1 a1 u2 a2 u3"),
        (["u1 a1", "s2 t2"], "s2 u1 a1 t2"),
        (["s1 u1 a1", "u2 s2"], "s1 u1 a1 u2 s2"),  # said in between, so it stays there
        (["s1 s2 u1 a1", "s3 u2"], "s3 s2 u1 a1 u2"),
    ],
)
def test_the_last_instructions_stay_alone_and_first(parts: list[str], whole: str) -> None:
    assert joined(map(messages, parts)) == messages(whole)
