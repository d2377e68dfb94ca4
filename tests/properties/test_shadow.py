"""Invariant 9: shadow mode decides what enforcement decides on the same sequence; and so does a
policy that is run over what was recorded of either."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings

from authority_sequences import POLICY, Attempt, Clock, carried_out, steps, written
from proofrig.authority.authority import Authority
from proofrig.authority.ledger import Ledger
from proofrig.authority.replay import Recorded, Then
from proofrig.authority.shadow import Shadow


def enforcing(clock: Clock) -> Authority:
    return Authority(Ledger(), None, clock, POLICY)


def shadowing(clock: Clock) -> Shadow:
    return Shadow(Ledger(), None, clock, Authority(Ledger(), None, clock, POLICY))


@settings(max_examples=150, deadline=None)
@given(steps)
def test_shadow_decides_as_enforcement_would(sequence: list[Any]) -> None:
    one, other = Clock(), Clock()
    authority, shadow = enforcing(one), shadowing(other)
    enforced, _ = carried_out(authority, one, sequence)
    noted, _ = carried_out(shadow, other, sequence)
    assert [a.decision for a in enforced] == [a.decision.shadow for a in noted]
    assert all(a.decision.effect == "allow" for a in noted)
    for scope in authority.scopes():
        assert shadow.judge.balances(scope) == authority.balances(scope), scope
    for effect in {a.decision.code or a.decision.effect for a in enforced}:
        event(effect)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_shadow_books_what_really_happened(sequence: list[Any]) -> None:
    clock = Clock()
    shadow = shadowing(clock)
    attempts, _ = carried_out(shadow, clock, sequence)
    shadow.sweep(everything=True)
    for scope in ("t", "u"):
        ended = [told for a in attempts if a.request.scope[0] == scope for told in a.told]
        spent = sum(told["actual"]["tokens"] for _, kind, _, told in ended if kind == "commit")
        orphans = [
            a.request.amounts["tokens"]
            for a in attempts
            if a.request.scope[0] == scope and a.started and not a.ended
        ]
        balance = shadow.balances(scope).get("tokens")
        assert (balance.spent if balance else 0) == spent + sum(orphans)
        assert balance is None or balance.allocated is None


def replayed(attempts: list[Attempt], stops: list[tuple[int, str]]) -> list[Any]:
    entries, payloads = written(attempts, stops)
    return list(Recorded(lambda: entries, payloads.get).under(POLICY))


def decided(attempt: Attempt) -> Then:
    told = attempt.decision.shadow or attempt.decision
    return Then(told.effect, told.code, told.rule, told.max_tokens)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_policy_run_over_what_it_decided_decides_the_same(sequence: list[Any]) -> None:
    for answers in (False, True):
        clock = Clock()
        attempts, stops = carried_out(enforcing(clock), clock, _short(sequence), answers=answers)
        again = replayed(attempts, stops)
        assert [one.then for one in again] == [decided(a) for a in attempts]
        now = [
            Then(one.now.effect, one.now.code, one.now.rule, one.now.max_tokens) for one in again
        ]
        assert now == [decided(a) for a in attempts]
        assert [one.changed for one in again] == [None] * len(attempts)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_policy_run_over_its_own_shadow_decides_the_same(sequence: list[Any]) -> None:
    clock = Clock()
    sequence = [step for step in _short(sequence) if step[0] != "stop"]
    attempts, _ = carried_out(shadowing(clock), clock, sequence)
    again = replayed(attempts, [])
    now = [Then(one.now.effect, one.now.code, one.now.rule, one.now.max_tokens) for one in again]
    assert now == [decided(a) for a in attempts]
    assert [one.changed for one in again] == [None] * len(attempts)


def _short(sequence: list[Any]) -> list[Any]:
    """Without orphans: gateways settle what they began, so a history never has a hold run out."""
    seconds = (4 * 1_000_000_000,)
    return [("wait", min(step[1], *seconds)) if step[0] == "wait" else step for step in sequence]
