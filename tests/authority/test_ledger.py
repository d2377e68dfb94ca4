"""The transition table, pair by pair, and the balances that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import pytest

from proofrig.authority.budget import Balance
from proofrig.authority.decision import decision_of
from proofrig.authority.ledger import Ledger
from proofrig.authority.ruling import Ruling
from proofrig.authority.transition import (
    MINUTE_NS,
    TRANSITIONS,
    Event,
    ReserveRequest,
    State,
    Transition,
)
from proofrig.errors import IdempotencyError, LedgerError, UsageError
from proofrig.history.action import Outcome

SCOPE = "acme/wf/bot/r1"
HOLD = {"usd_micro": 500, "tokens": 100, "calls": 1}


def ask(id: str = "a", scope: str = SCOPE, ttl_ns: int = 10, **amounts: int) -> ReserveRequest:
    return ReserveRequest(id, scope, "llm.chat", amounts or HOLD, ttl_ns)


def brought_to(state: State) -> Ledger:
    """A ledger whose reservation `a` is in `state`."""
    ledger = Ledger()
    if state == "denied":
        ledger.set_budget("acme", {"tokens": 99}, 0)
    if state == "pending":
        ledger.reserve(ask(), 0, ASKS)
    elif state != "new":
        ledger.reserve(ask(), 0)
    if state in ("started", "committed", "expired_charged"):
        ledger.start("a", 1)
    if state == "committed":
        ledger.commit("a", {}, "measured", "ok", 2)
    if state == "released":
        ledger.release("a", "unreachable", 2)
    if state in ("expired_released", "expired_charged"):
        ledger.expire(10)
    assert ledger.state("a") == state
    return ledger


ASKS = Ruling("ask", rule="big", wait_s=10e-9)

# Each event as a live call that is not a repetition of one made in `brought_to`.
CALLS: dict[Event, Callable[[Ledger], object]] = {
    "start": lambda ledger: ledger.start("a", 3),
    "commit": lambda ledger: ledger.commit("a", {"tokens": 7}, "partial", "fail", 3),
    "release": lambda ledger: ledger.release("a", "other", 3),
    "extend": lambda ledger: ledger.extend("a", 100, 3),
    "expire": lambda ledger: ledger.expire(10),
    "reserve": lambda ledger: ledger.reserve(ask(), 3),
    "ask": lambda ledger: ledger.reserve(ask(), 3, ASKS),
    "deny": lambda ledger: ledger.reserve(ask(), 3),
    "event": lambda ledger: ledger.event(ask(), "measured", "ok", 3),
    "approve": lambda ledger: ledger.approve("a", "someone", 3),
}
PAIRS = list(product(get_args(State), get_args(Event)))


def figures(ledger: Ledger) -> dict[str, dict[str, Balance]]:
    return {scope: ledger.balances(scope) for scope in ledger.scopes()}


def test_the_table_names_every_state() -> None:
    assert set(TRANSITIONS) == set(get_args(State))


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_of_state_and_event_does_what_the_table_says(state: State, event: Event) -> None:
    ledger = brought_to(state)
    target = TRANSITIONS[state].get(event)
    before, seq = figures(ledger), ledger.seq
    if target is not None:
        if event == "deny":
            ledger.set_budget("acme", {"calls": 0}, 2)
        CALLS[event](ledger)
        assert ledger.state("a") == target
        assert ledger.seq > seq
        return
    if event in ("reserve", "ask", "deny", "expire") or (state, event) == (
        "started",
        "start",
    ):
        CALLS[event](ledger)  # a repetition, or a sweep that finds nothing to end
    elif event == "event":
        with pytest.raises(IdempotencyError):  # an id stands for a reservation or for an event
            CALLS[event](ledger)
    else:
        with pytest.raises(LedgerError):
            CALLS[event](ledger)
    assert (ledger.state("a"), ledger.seq, figures(ledger)) == (state, seq, before)


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_a_replayed_transition_follows_the_same_table(state: State, event: Event) -> None:
    for claimed in get_args(State):
        ledger = brought_to(state)
        before, seq = figures(ledger), ledger.seq
        made = Transition(seq + 1, 3, event, "a", claimed, SCOPE, amounts=dict(HOLD), expires=50)
        if TRANSITIONS[state].get(event) == claimed:
            ledger.apply(made)
            assert (ledger.state("a"), ledger.seq) == (claimed, seq + 1)
        else:
            with pytest.raises(LedgerError):
                ledger.apply(made)
            assert (ledger.state("a"), ledger.seq, figures(ledger)) == (state, seq, before)


def test_a_hold_lies_on_every_scope_of_the_path_and_nowhere_else() -> None:
    ledger = Ledger()
    ledger.reserve(ask(), 0)
    ledger.reserve(ask("b", "acme/wf2", tokens=5), 0)
    assert ledger.balances(SCOPE)["tokens"] == Balance(None, 100, 0)
    assert ledger.balances("acme/wf")["tokens"] == Balance(None, 100, 0)
    assert ledger.balances("acme")["tokens"] == Balance(None, 105, 0)
    assert ledger.balances("elsewhere") == {}


def test_a_commit_charges_the_actual_and_gives_the_rest_back() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"tokens": 100}, 0)
    ledger.reserve(ask(), 0)
    ledger.start("a", 1)
    made = ledger.commit("a", {"usd_micro": 320, "tokens": 80, "bytes": 9}, "measured", "ok", 2)
    assert made.amounts == {"usd_micro": 320, "tokens": 80, "calls": 1, "bytes": 9}
    assert ledger.balances("acme") == {
        "tokens": Balance(100, 0, 80),
        "usd_micro": Balance(None, 0, 320),
        "calls": Balance(None, 0, 1),  # a unit the actual does not name is charged as held
        "bytes": Balance(None, 0, 9),  # a unit that was not held is charged all the same
    }


def test_an_actual_above_the_hold_is_booked_in_full_as_debt_and_blocks_the_scope() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"tokens": 120}, 0)
    ledger.reserve(ask(), 0)
    ledger.start("a", 1)
    ledger.commit("a", {"tokens": 170}, "measured", "ok", 2)
    balance = ledger.balances("acme")["tokens"]
    assert (balance.spent, balance.remaining, balance.debt) == (170, -50, 50)
    denial = ledger.reserve(ask("b", tokens=1), 3)
    assert (denial.event, denial.at, denial.remaining) == ("deny", "acme", {"tokens": -50})


def test_orphans_are_charged_when_they_had_started_and_released_when_not() -> None:
    ledger = Ledger()
    ledger.reserve(ask("idle"), 0)
    ledger.reserve(ask("busy", ttl_ns=5), 0)
    ledger.start("busy", 1)
    assert [made.id for made in ledger.expire(4)] == []
    busy, idle = ledger.expire(10)
    assert (busy.id, busy.state, busy.amounts) == ("busy", "expired_charged", HOLD)
    assert (busy.source, busy.outcome) == ("estimated", "unknown")
    assert (idle.id, idle.state, idle.amounts) == ("idle", "expired_released", None)
    assert ledger.balances("acme")["tokens"] == Balance(None, 0, 100)
    with pytest.raises(LedgerError, match="expired_charged: expected nothing, it has ended"):
        ledger.commit("busy", {"tokens": 1}, "measured", "ok", 11)


def test_an_extended_hold_lives_on_and_is_never_shortened() -> None:
    ledger = Ledger()
    ledger.reserve(ask(), 0)
    assert ledger.extend("a", 20, 5).expires == 25
    seq = ledger.seq
    ledger.extend("a", 3, 5)
    assert ledger.seq == seq
    assert ledger.expire(24) == []
    ledger.reserve(ask("b", ttl_ns=15), 9)
    assert [made.id for made in ledger.expire(30)] == ["b", "a"]


def test_expire_all_ends_what_is_not_due() -> None:
    ledger = Ledger()
    ledger.reserve(ask("a", ttl_ns=MINUTE_NS), 0)
    ledger.reserve(ask("b", ttl_ns=MINUTE_NS), 0)
    ledger.start("b", 0)
    ended = [made.state for made in ledger.expire_all(1)]
    assert ended == ["expired_released", "expired_charged"]
    assert ledger.open() == ()


def test_the_same_call_gets_the_same_answer_and_another_payload_is_refused() -> None:
    ledger = Ledger()
    first = ledger.reserve(ask(), 0)
    ledger.start("a", 1)
    done = ledger.commit("a", {"tokens": 7}, "measured", "ok", 2)
    seq, before = ledger.seq, figures(ledger)
    assert ledger.reserve(ask(), 9) is first
    assert ledger.commit("a", {"tokens": 7}, "measured", "ok", 9) is done
    other = [
        lambda: ledger.reserve(ask(tokens=1), 9),
        lambda: ledger.reserve(ask(scope="acme"), 9),
        lambda: ledger.reserve(ask(ttl_ns=11), 9),
        lambda: ledger.commit("a", {"tokens": 8}, "measured", "ok", 9),
        lambda: ledger.commit("a", {"tokens": 7}, "partial", "ok", 9),
        lambda: ledger.commit("a", {"tokens": 7}, "measured", "fail", 9),
    ]
    for call in other:
        with pytest.raises(IdempotencyError, match="nothing moved"):
            call()
    assert (ledger.seq, figures(ledger)) == (seq, before)


def test_a_denial_is_remembered_under_its_id() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"calls": 0}, 0)
    denial = ledger.reserve(ask(), 1)
    ledger.set_budget("acme", {"calls": 9}, 2)
    assert ledger.reserve(ask(), 3) is denial
    assert ledger.reserve(ask("b"), 3).event == "reserve"


def test_an_ended_id_is_forgotten_after_its_retention() -> None:
    ledger = Ledger(retention_ns=100)
    ledger.reserve(ask(), 0)
    ledger.release("a", "unreachable", 50)
    ledger.expire(149)
    assert ledger.state("a") == "released"
    ledger.expire(150)
    assert ledger.state("a") == "new"


def test_nothing_moves_when_an_input_is_no_amount_or_no_scope() -> None:
    ledger = brought_to("started")
    before, seq = figures(ledger), ledger.seq
    bad: list[Callable[[], object]] = [
        lambda: ledger.reserve(ask("b", tokens=-1), 3),
        lambda: ledger.reserve(ask("b", "acme//"), 3),
        lambda: ledger.commit("a", {"tokens": 1.5}, "measured", "ok", 3),  # type: ignore[dict-item]
        lambda: ledger.commit("a", {"euros": 1}, "measured", "ok", 3),
        lambda: ledger.set_budget("acme", {"tokens": -1}, 3),
        lambda: ledger.set_budget("", {"tokens": 1}, 3),
    ]
    for call in bad:
        with pytest.raises(UsageError):
            call()
    assert (ledger.state("a"), ledger.seq, figures(ledger)) == ("started", seq, before)


def test_what_the_caller_changes_afterwards_does_not_change_the_hold() -> None:
    ledger = Ledger()
    amounts = {"tokens": 10}
    ledger.reserve(ReserveRequest("a", "acme", "tool.x", amounts), 0)
    amounts["tokens"] = 99
    ledger.release("a", "unreachable", 1)
    assert ledger.balances("acme")["tokens"] == Balance(None, 0, 0)


def test_a_sweep_looks_only_at_what_is_due() -> None:
    """Many open holds, one due: the heap is popped once, whatever else is open."""
    ledger = Ledger()
    for n in range(2000):
        ledger.reserve(ask(f"r{n}", ttl_ns=10 if n == 1000 else 10_000 + n), 0)
    assert ledger.expire(9) == []
    looked: list[str] = []

    class Watched(dict):  # type: ignore[type-arg]
        def get(self, key: str, default: object = None) -> object:
            looked.append(key)
            return super().get(key, default)

    ledger._live = Watched(ledger._live)
    assert [made.id for made in ledger.expire(10)] == ["r1000"]
    assert looked == ["r1000"]


def test_what_waits_for_approval_holds_the_budget_and_lives_on_once_approved() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"calls": 1}, 0)
    asked = ledger.reserve(ask(ttl_ns=100), 0, Ruling("ask", rule="big", wait_s=50e-9))
    assert (asked.event, asked.expires, asked.rule) == ("ask", 50, "big")
    assert ledger.reserve(ask("b"), 1).event == "deny"
    assert ledger.reserve(ask(ttl_ns=100), 2, Ruling()) is asked
    assert ledger.approve("a", "boss", 40).expires == 140
    assert ledger.expire(139) == []
    assert [made.state for made in ledger.expire(140)] == ["expired_released"]
    assert ledger.balances("acme")["calls"] == Balance(1, 0, 0)


def test_rules_add_units_and_scopes_and_what_an_action_earns() -> None:
    ledger = Ledger()
    ruling = Ruling(units={"taint:web": 1}, earns={"step:act": 1}, also=("@writes",))
    made = ledger.reserve(ask(), 0, ruling)
    assert made.asked() == HOLD
    assert ledger.reserve(ask(), 0, ruling) is made
    assert ledger.used(SCOPE, "taint:web") == 1
    ledger.start("a", 1)
    ledger.commit("a", {}, "measured", "ok", 2)
    assert ledger.used(SCOPE, "step:act") == 1
    assert ledger.balances("@writes")["tokens"] == Balance(None, 0, 100)


@pytest.mark.parametrize(("outcome", "earned"), [("ok", 1), ("fail", 0), ("unknown", 0)])
def test_a_step_is_reached_by_an_action_that_ended_ok(outcome: Outcome, earned: int) -> None:
    ledger = Ledger()
    ledger.reserve(ask(), 0, Ruling(earns={"step:act": 1}))
    ledger.start("a", 1)
    ledger.commit("a", {}, "measured", outcome, 2)
    assert ledger.used(SCOPE, "step:act") == earned


def test_nothing_begins_in_a_scope_that_was_stopped() -> None:
    ledger = Ledger()
    ledger.reserve(ask(), 0)
    ledger.stop("acme/wf", "it went in circles", 1)
    denied = ledger.reserve(ask("b"), 2)
    assert (denied.code, denied.at, denied.fix) == ("run_stopped", "acme/wf", "it went in circles")
    assert ledger.reserve(ask("c", "acme/other"), 2).event == "reserve"
    assert ledger.start("a", 3).state == "started"  # what was let in may end


def test_an_event_is_charged_in_full_whatever_the_limit() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"tokens": 10}, 0)
    made = ledger.event(ask(tokens=25), "partial", "unknown", 1)
    assert ledger.event(ask(tokens=25), "partial", "unknown", 2) is made
    assert ledger.balances("acme")["tokens"].debt == 15


def test_a_replay_brings_back_windows_children_stops_and_scopes_of_ones_own() -> None:
    ledger, made = Ledger(), []
    made.append(ledger.set_budget("acme", {"calls/minute": 2, "calls/hour": 9}, 0))
    made.append(ledger.set_budget("acme/wf", {"children": 3}, 0))
    made.append(ledger.reserve(ask("a"), 1, Ruling(also=("@writes",), units={"taint:web": 1})))
    made.append(ledger.reserve(ask("b", "acme/wf/other/r2"), 2, ASKS))
    made.append(ledger.start("a", 3))
    made.append(ledger.commit("a", {"usd_micro": 1}, "measured", "ok", 4))
    made.append(ledger.approve("b", "boss", 5))
    made.append(ledger.reserve(ask("c", "acme/wf/third/r3"), 6))
    made.append(ledger.stop("acme/wf/third", "enough", 7))
    assert made[7].code == "rate_exceeded"
    again = Ledger()
    for one in made:
        again.apply(one)
    now = 8
    for scope in ledger.scopes():
        assert again.balances(scope, now) == ledger.balances(scope, now)
    for id in "abc":
        assert again.state(id) == ledger.state(id)
    for kept in (ledger, again):
        assert kept.balances("acme/wf", now)["children"] == Balance(3, 0, 2)
        assert kept.reserve(ask("d", "acme/wf/third/r4"), now).code == "run_stopped"


def test_an_event_under_the_id_of_a_reservation_is_not_taken_for_booked() -> None:
    ledger = Ledger()
    ledger.reserve(ask(), 0)
    with pytest.raises(IdempotencyError, match="got event"):
        ledger.event(ask(), "measured", "ok", 1)
    ledger.event(ask("e"), "measured", "ok", 1)
    with pytest.raises(IdempotencyError, match="got reserve"):
        ledger.reserve(ask("e"), 1)


def test_what_is_not_asked_for_and_in_debt_refuses_nothing() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"tokens": 10, "calls": 1}, 0)
    ledger.set_budget("acme/wf", {"calls": 9}, 0)
    ledger.event(ask("e", tokens=50), "measured", "ok", 0)
    batch = ReserveRequest("a", SCOPE, "tool.x", {"calls": 1}, 10, ahead={"calls": 0})
    assert ledger.reserve(batch, 0).event == "reserve"
    made = ledger.reserve(ask("b", calls=1), 0)
    assert (made.code, made.remaining) == ("budget_exceeded", {"tokens": -40, "calls": 0})
    assert decision_of(made).fix.startswith("asked 1 calls where 0 remain")


@pytest.mark.parametrize("ttl", [0, -5, 1e9, True, 1 << 53])
def test_the_life_of_a_hold_is_a_whole_number_that_can_be_kept(ttl: int) -> None:
    ledger = Ledger()
    with pytest.raises(UsageError, match="ttl_ns"):
        ledger.reserve(ask(ttl_ns=ttl), 0)
    ledger.reserve(ask(), 0)
    with pytest.raises(UsageError, match="ttl_ns"):
        ledger.extend("a", ttl, 0)


def test_children_are_counted_and_not_asked_for() -> None:
    ledger = Ledger()
    ledger.set_budget("acme", {"children": 1}, 0)
    with pytest.raises(UsageError, match="children"):
        ledger.reserve(ask(children=2), 0)
    assert ledger.seq == 1


def test_limits_of_a_policy_are_lifted_when_it_has_them_no_more() -> None:
    ledger = Ledger()
    given = {"tokens": 5, "calls/minute": 1, "calls": 9}
    made = [ledger.give("acme", given, 0), ledger.give("acme", given, 1)]
    made.append(ledger.set_budget("acme", {"bytes": 7}, 2))
    made.append(ledger.give("acme", {"calls": 8}, 3))
    assert made[1] is None
    assert made[3] is not None and made[3].lifted == ("calls/minute", "tokens")
    for _ in range(2):
        assert {unit: one.allocated for unit, one in ledger.balances("acme").items()} == {
            "tokens": None,
            "calls": 8,
            "bytes": 7,
        }
        assert ledger.books.given == {"acme": (("calls", 8),)}
        ledger = Ledger()
        for one in filter(None, made):
            ledger.apply(one)
