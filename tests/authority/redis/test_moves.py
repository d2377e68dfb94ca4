"""What the scripts are given, and how their answers read."""

from __future__ import annotations

import msgspec
import pytest

from proofrig.authority.decision import Decision
from proofrig.authority.ledger import NO_LANE
from proofrig.authority.redis import moves as moves
from proofrig.authority.ruling import Ruling
from proofrig.authority.transition import Reservation, ReserveRequest, State, Transition, admission
from proofrig.errors import UsageError

RUN = "acme/wf/bot/r1"
REQUEST = ReserveRequest("a", RUN, "tool.x", {"tokens": 5, "calls": 1}, 2_000, also=("@s/x",))
OPENED = msgspec.structs.replace(admission(REQUEST, Ruling(), {**REQUEST.amounts}, 7, 3_000))


def read(tail: str) -> Transition:
    return msgspec.json.decode('{"seq":9,"t":4000' + tail, type=Transition)


def test_a_tail_is_the_transition_but_for_its_number_and_times() -> None:
    new = admission(REQUEST, Ruling(), {"tokens": 5}, 0, 0)
    made = moves.numbered(new, 9, 4)
    assert (made.seq, made.t, made.expires) == (9, 4_000, 6_000)
    assert read(moves.tail(new)) == msgspec.structs.replace(made, expires=0)


@pytest.mark.parametrize(("ns", "us"), [(0, 0), (1, 1), (1_000, 1), (1_001, 2)])
def test_times_are_rounded_up(ns: int, us: int) -> None:
    assert moves.micros(ns) == us
    assert moves.in_micros(msgspec.structs.replace(REQUEST, ttl_ns=ns)).ttl_ns == us * 1_000


def test_scopes_are_those_of_the_path_then_those_of_one_s_own() -> None:
    assert moves.scopes_of("acme//bot", {"tokens": 1}, ("@s/x",)) == (
        *("acme", "acme//bot", "@s", "@s/x"),
    )
    for scope, amounts in (("acme/", {}), ("acme", {"tokens": -1}), ("acme", {"tokens/day": 1})):
        with pytest.raises(UsageError):
            moves.scopes_of(scope, amounts, ())


def test_a_settlement_names_held_and_charged_in_one_order() -> None:
    charged = moves.charged_by(OPENED, {"bytes": 9, "tokens": 2}, "ok")
    assert charged == {"tokens": 2, "calls": 1, "bytes": 9}
    ends = moves.committing(OPENED, charged, ("measured", "ok", "here"))
    given, scopes = moves.settling(OPENED, "commit", ends)
    assert (given["units"], given["held"]) == (["tokens", "calls", "bytes"], [5, 1, 0])
    (started,) = given["moves"].items()
    assert started[0] == "started"
    assert (started[1]["state"], started[1]["charged"]) == ("committed", [2, 1, 9])
    assert read(started[1]["tail"]).price == "here"
    assert scopes[-2:] == ("@s", "@s/x")


def test_a_release_is_for_the_states_of_the_table_or_those_named() -> None:
    ends = moves.releasing(OPENED, "gone")
    given, _ = moves.settling(OPENED, "release", ends)
    assert set(given["moves"]) == {"pending", "reserved", "started"}
    given, _ = moves.settling(OPENED, "release", ends, ("pending",))
    assert set(given["moves"]) == {"pending"}


def test_the_time_of_a_hold_ends_it_by_whether_it_had_started() -> None:
    given, _ = moves.settling(OPENED, "expire", moves.expiring(OPENED))
    ends = {state: (move["state"], move["charged"]) for state, move in given["moves"].items()}
    assert ends == {
        "pending": ("expired_released", [0, 0]),
        "reserved": ("expired_released", [0, 0]),
        "started": ("expired_charged", [5, 1]),
    }


@pytest.mark.parametrize(
    ("event", "state", "reason", "answer"),
    [
        ("approve", "reserved", "ann", ("allow", "")),
        ("commit", "committed", "", ("allow", "")),
        ("release", "released", "refused by bob: no: never", ("deny", "approval_refused")),
        ("expire", "expired_released", "", ("deny", "approval_timeout")),
    ],
)
def test_what_became_of_an_ask(
    event: str, state: State, reason: str, answer: tuple[str, str]
) -> None:
    asked = admission(REQUEST, Ruling("ask", rule="big", wait_s=1), {}, 1, 0)
    last = Transition(2, 0, event, "a", state, RUN, reason=reason)  # type: ignore[arg-type]
    found = moves.answer_of(Reservation(state, asked, last, {}, NO_LANE, 0))
    assert (found.effect, found.code, found.rule) == (*answer, "big")
    if answer[1] == "approval_refused":
        assert "bob refused it: no: never" in found.fix
    if answer[0] == "allow":
        assert found == Decision("allow", "a", rule="big")
