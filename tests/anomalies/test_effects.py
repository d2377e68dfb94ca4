"""Arguments and commits in, sameness and counts out."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.anomalies.effects import Wanted, carried_out, wanted


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"order": 7, "cents": 5}', b'{"cents":5,"order":7}', True),
        (b'{"order": 7, "idempotency_key": "a"}', b'{"order": 7, "idempotency_key": "b"}', True),
        (b'{"order": 7, "idempotencyKey": "a"}', b'{"order": 7}', True),
        (b'{"order": 7}', b'{"order": 8}', False),
        (b'{"order": 7, "client_id": "a"}', b'{"order": 7, "client_id": "b"}', False),
        (b"order 7", b"order 7", True),
        (b"[1, 2]", b"[1,2]", True),
    ],
)
def test_calls_are_the_same_but_for_an_idempotency_key(
    one: bytes, other: bytes, same: bool
) -> None:
    asked = [wanted(one), wanted(other)]
    assert all(asked)
    assert (asked[0].arguments == asked[1].arguments) is same  # type: ignore[union-attr]


def test_the_key_is_kept_apart() -> None:
    assert wanted(b'{"order":7,"Idempotency-Key":"k1"}') == Wanted('{"order":7}', "k1")
    assert wanted(b'{"order":7,"idempotency_key":""}') == Wanted('{"idempotency_key":"","order":7}')
    assert wanted(None) is None


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ({"outcome": "ok"}, 1),
        ({"outcome": "ok", "is_error": True}, 0),
        ({"outcome": "ok", "is_error": True, "undelivered": True}, 1),
        ({"outcome": "ok", "executed": False}, 0),
        ({"outcome": "ok", "executed": 2}, 2),
        ({"outcome": "fail"}, 0),
        ({"outcome": "fail", "undelivered": True}, 0),
        ({"outcome": "unknown"}, None),
        (None, None),
    ],
)
def test_what_the_tool_did_counts_and_not_what_its_agent_got(
    told: dict[str, Any] | None, times: int | None
) -> None:
    assert carried_out(told) == times
