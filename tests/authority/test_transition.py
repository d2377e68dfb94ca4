"""What opens a reservation, and what makes a request the same again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proofrig.authority.books import Refusal
from proofrig.authority.ruling import ALLOWED, Ruling
from proofrig.authority.transition import (
    ReserveRequest,
    Transition,
    admission,
    belongs_to,
    denial,
    same_request,
)
from proofrig.errors import IdempotencyError

REQUEST = ReserveRequest("a", "acme/w/b/r", "tool.x", {"calls": 1}, 10, digest="d")
ALSO = ReserveRequest("a", "acme/w/b/r", "tool.x", {"calls": 1}, 10, also=("@mine",))


def test_an_admission_says_what_rules_added() -> None:
    ruling = Ruling("ask", rule="r", units={"taint:web": 1}, also=("@w",), max_tokens=5, wait_s=2)
    made = admission(REQUEST, ruling, {"calls": 1, "taint:web": 1}, 3, 100)
    assert (made.event, made.state, made.seq, made.t) == ("ask", "pending", 3, 100)
    assert (made.expires, made.ttl()) == (2_000_000_100, 10)
    assert (made.added, made.asked()) == (("taint:web",), {"calls": 1})
    assert (made.rule, made.max_tokens, made.also) == ("r", 5, ("@w",))


def test_what_nothing_was_added_to_says_nothing_more() -> None:
    request = msgspec.structs.replace(REQUEST, digest="")
    made = admission(request, ALLOWED, {"calls": 1}, 1, 0)
    assert msgspec.json.decode(msgspec.json.encode(made)).keys() == {
        *("seq", "t", "event", "id", "state", "scope", "name", "amounts", "expires"),
    }


@pytest.mark.parametrize(
    ("refusal", "rule", "fix"),
    [
        (Refusal("forbidden", "acme/w/b/r", {}), "no-x", "do y"),
        (Refusal("budget_exceeded", "acme", {"calls": 0}), "", ""),
        (Refusal("run_stopped", "acme", {}, fix="it looped"), "", "it looped"),
    ],
)
def test_a_denial_names_the_rule_only_where_a_rule_denied(
    refusal: Refusal, rule: str, fix: str
) -> None:
    ruling = Ruling("deny", "forbidden", "no-x", "do y")
    made = denial(REQUEST, ruling, {"calls": 1}, refusal, (7, 8))
    assert (made.seq, made.t, made.code, made.at) == (7, 8, refusal.code, refusal.at)
    assert (made.rule, made.fix) == (rule, fix)


def test_scopes_of_ones_own_come_first_and_once() -> None:
    assert belongs_to(ALSO, Ruling(also=("@w", "@mine"))) == ("@mine", "@w")


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": "acme/w/b/r2"},
        {"name": "tool.y"},
        {"amounts": {"calls": 2}},
        {"amounts": {"calls": 1, "tokens": 1}},
        {"ttl_ns": 11},
        {"digest": "e"},
        {"also": ("@other",)},
    ],
)
def test_another_payload_is_another_request(changed: dict[str, Any]) -> None:
    ruling = Ruling(units={"taint:web": 1}, also=("@w",))
    opened: Transition = admission(REQUEST, ruling, {"calls": 1, "taint:web": 1}, 1, 0)
    assert same_request(opened, REQUEST) is opened
    with pytest.raises(IdempotencyError, match="expected the payload of the first call"):
        same_request(opened, msgspec.structs.replace(REQUEST, **changed))
