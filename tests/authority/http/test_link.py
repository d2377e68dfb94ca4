"""Patience has an end."""

from __future__ import annotations

from proofrig.authority.http.link import MAX_PAUSE_S, Patience


def test_pauses_grow_and_are_bounded() -> None:
    patience = Patience(tries=99, first_pause=0.05)
    pauses = [patience.pause(tried) for tried in range(1, 40)]
    assert pauses[:3] == [0.05, 0.1, 0.2]
    assert pauses == sorted(pauses) and pauses[-1] == MAX_PAUSE_S
