"""The face of the ledger: decisions, denials, and a journal that must not fall behind."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from proofrig.authority.authority import Authority, Decision, recover
from proofrig.authority.budget import Balance
from proofrig.authority.journal import Journal
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import Denied, JournalError, LedgerError, UsageError


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def ask(id: str, scope: str = "acme/wf/bot/r1", **amounts: int) -> ReserveRequest:
    return ReserveRequest(id, scope, "tool.x", amounts, ttl_ns=100)


def edit(path: Path, sql: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(sql)
    db.close()


def test_reserve_start_commit_returns_what_was_charged() -> None:
    authority = Authority(Ledger(), None, Clock())
    authority.set_budget("acme", {"tokens": 100})
    assert authority.reserve(ask("a", tokens=60, calls=1)) == Decision("allow", "a")
    authority.start("a")
    assert authority.commit("a", {"tokens": 40}) == {"tokens": 40, "calls": 1}
    assert authority.balances("acme")["tokens"] == Balance(100, 0, 40)
    assert authority.scopes() == ("acme", "acme/wf", "acme/wf/bot", "acme/wf/bot/r1")


def test_a_denial_says_where_what_remains_and_what_to_do_and_costs_nothing() -> None:
    authority = Authority(Ledger(), None, Clock())
    authority.set_budget("acme", {"tokens": 1000})
    authority.set_budget("acme/wf", {"tokens": 100, "calls": 3})
    decision = authority.reserve(ask("a", tokens=120, calls=1))
    assert not decision.allowed
    assert (decision.code, decision.scope) == ("budget_exceeded", "acme/wf")
    assert decision.remaining == {"tokens": 100, "calls": 3}
    assert decision.fix == (
        "asked 120 tokens where 100 remain; ask for less, wait until open holds settle, or raise "
        "the budget of acme/wf"
    )
    denied = decision.denied()
    assert isinstance(denied, Denied)
    assert (denied.code, denied.scope, denied.remaining, denied.fix) == (
        decision.code,
        decision.scope,
        decision.remaining,
        decision.fix,
    )
    assert authority.balances("acme")["tokens"] == Balance(1000, 0, 0)
    with pytest.raises(LedgerError, match="is denied"):
        authority.start("a")


async def test_fifty_at_once_never_pass_a_shared_limit() -> None:
    authority = Authority(Ledger(), None, Clock())
    authority.set_budget("acme", {"tokens": 20_500})

    async def one(n: int) -> bool:
        await asyncio.sleep(0)
        if not authority.reserve(ask(f"{n}", f"acme//bot{n}", tokens=1000)).allowed:
            return False
        authority.start(f"{n}")
        await asyncio.sleep(0)
        authority.commit(f"{n}", {"tokens": 700})
        return True

    granted = await asyncio.gather(*(one(n) for n in range(50)))
    assert sum(granted) == 20
    assert authority.balances("acme")["tokens"] == Balance(20_500, 0, 14_000)


def test_a_sweep_ends_what_has_run_out_and_everything_when_the_callers_are_dead() -> None:
    clock = Clock()
    authority = Authority(Ledger(), None, clock)
    authority.reserve(ask("a", tokens=5))
    authority.reserve(ask("b", tokens=7))
    authority.reserve(ask("c", tokens=9))
    authority.start("a")
    authority.start("b")
    authority.extend("b", 300)
    clock.now = 100
    assert [made.state for made in authority.sweep()] == ["expired_charged", "expired_released"]
    assert authority.balances("acme")["tokens"] == Balance(None, 7, 5)
    assert [made.id for made in authority.sweep(everything=True)] == ["b"]
    assert authority.balances("acme")["tokens"] == Balance(None, 0, 12)


def test_a_recovered_authority_answers_as_the_one_before(tmp_path: Path) -> None:
    clock = Clock()
    before = recover(tmp_path / "j", clock)
    before.set_budget("acme", {"tokens": 100})
    before.reserve(ask("a", tokens=60))
    before.start("a")
    denied = before.reserve(ask("b", tokens=60))
    before.reserve(ask("c", tokens=1))
    before.release("c", "unreachable")
    figures = {scope: before.balances(scope) for scope in before.scopes()}
    before.close()

    after = recover(tmp_path / "j", clock)
    assert {scope: after.balances(scope) for scope in after.scopes()} == figures
    assert after.reserve(ask("b", tokens=60)) == denied
    assert after.reserve(ask("a", tokens=60)) == Decision("allow", "a")
    after.commit("a", {"tokens": 6}, "partial", "unknown")
    assert after.balances("acme")["tokens"] == Balance(100, 0, 6)
    after.close()


def test_a_ledger_that_did_not_replay_its_journal_is_refused(tmp_path: Path) -> None:
    first = recover(tmp_path / "j", Clock())
    first.set_budget("acme", {"tokens": 1})
    first.close()
    with Journal(tmp_path / "j") as journal, pytest.raises(JournalError, match="replay"):
        Authority(Ledger(), journal, Clock())


def test_a_damaged_journal_is_not_recovered_unless_asked(tmp_path: Path) -> None:
    first = recover(tmp_path / "j", Clock())
    first.set_budget("acme", {"tokens": 1})
    first.close()
    edit(tmp_path / "j", "update transitions set crc = 0")
    with pytest.raises(JournalError, match="row 1"):
        recover(tmp_path / "j", Clock())
    recover(tmp_path / "j", Clock(), set_aside=True).close()


def test_nothing_starts_while_the_journal_cannot_be_written(tmp_path: Path) -> None:
    """Invariant 8; and what was spent is booked all the same, and written later."""
    path = tmp_path / "j"
    clock = Clock()
    authority = recover(path, clock)
    for id in ("a", "b"):
        authority.reserve(ask(id, tokens=10))
    authority.start("a")
    edit(path, "alter table transitions rename to away")
    assert authority.commit("a", {"tokens": 4}) == {"tokens": 4}
    with pytest.raises(JournalError):
        authority.start("b")
    for n in range(3):
        with pytest.raises(JournalError) as refused:
            authority.reserve(ask(f"c{n}", tokens=1))
        assert refused.value.definite
    assert authority.balances("acme")["tokens"] == Balance(None, 10, 4)
    edit(path, "alter table away rename to transitions")
    assert authority.reserve(ask("d", tokens=1)).allowed
    figures = authority.balances("acme")
    authority.close()
    after = recover(path, clock)
    assert after.balances("acme") == figures
    after.close()


def test_ids_and_time_alone_decide_what_is_written(tmp_path: Path) -> None:
    """Under a fake clock two runs write the same bytes."""
    dumps = []
    for name in ("one", "two"):
        ticks = count(1)
        authority = recover(tmp_path / name, lambda ticks=ticks: next(ticks))  # type: ignore[misc]
        authority.set_budget("acme", {"tokens": 50})
        for n in range(5):
            if authority.reserve(ask(f"{n}", tokens=20)).allowed:
                authority.start(f"{n}")
                authority.commit(f"{n}", {"tokens": 15})
        authority.close()
        db = sqlite3.connect(tmp_path / name)
        dumps.append(db.execute("select * from transitions order by seq").fetchall())
        db.close()
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == 1 + 3 * 3 + 2


POLICY = parse_policy(
    """
taint: {tool.fetch: web}
steps: [{name: gather}, {name: act, after: tool.plan}]
limits: {"*/*/*/*": {"calls:tool.search": 1}}
rules:
  - {name: no-mail, deny: tool.mail, tainted: web}
  - {name: plan-first, deny: tool.write, step: gather}
  - {name: once, allow: tool.refund, cap: {calls: 1, per: run}}
  - {name: asks, ask: tool.buy, max_tokens: 5}
"""
)
RUN = "acme/wf/bot/r1"


def call(name: str, scope: str = RUN, **amounts: int) -> ReserveRequest:
    id = f"{name}-{scope}-{next(NUMBERS)}"
    return ReserveRequest(id, scope, f"tool.{name}", {"calls": 1, **amounts}, ttl_ns=100)


NUMBERS = count()


def ruled() -> Authority:
    return Authority(Ledger(), None, Clock(), POLICY)


def done(authority: Authority, request: ReserveRequest, **actual: int) -> str:
    effect = authority.reserve(request).effect
    if effect == "allow":
        authority.start(request.id)
        authority.commit(request.id, actual)
    return effect


@pytest.mark.parametrize(
    "scope", [RUN, f"{RUN}/child", "acme/wf/bot//child", "acme/wf///child", "acme//bot//a/b"]
)
def test_a_taint_is_seen_wherever_the_run_is(scope: str) -> None:
    authority = ruled()
    assert done(authority, call("fetch", scope)) == "allow"
    assert done(authority, call("mail", scope)) == "deny"


def test_no_actual_takes_back_what_rules_counted() -> None:
    authority = ruled()
    assert done(authority, call("fetch"), **{"taint:web": 0}) == "allow"
    assert done(authority, call("mail")) == "deny"
    assert done(authority, call("refund"), **{"calls:rule.once": 0}) == "allow"
    assert done(authority, call("refund")) == "deny"


@pytest.mark.parametrize(
    ("name", "amounts"),
    [("fetch", {"taint:web": 0}), ("refund", {"calls:rule.once": 0}), ("x", {"step:act": 1})],
)
def test_no_request_asks_for_less_than_rules_count_or_for_a_step(
    name: str, amounts: dict[str, int]
) -> None:
    authority = ruled()
    with pytest.raises(UsageError, match="amounts"):
        authority.reserve(call(name, **amounts))
    assert done(authority, call("write")) == "deny"


def test_a_step_is_not_booked_as_an_actual() -> None:
    authority = ruled()
    with pytest.raises(UsageError, match="a step begins"):
        done(authority, call("x"), **{"step:act": 1})


def test_a_name_in_another_case_is_counted_too() -> None:
    authority = ruled()
    assert [done(authority, call(name)) for name in ("search", "Search", "SEARCH")] == [
        *("allow", "deny", "deny")
    ]
    assert authority.closed(RUN, "tool.SEARCH") == f"calls:tool.search in {RUN}"


def test_what_is_booked_afterwards_taints_too() -> None:
    authority = ruled()
    request = call("fetch")
    assert authority.event(request) == authority.event(request) == {"calls": 1, "taint:web": 1}
    assert done(authority, call("mail")) == "deny"


def test_an_approval_keeps_the_cap_and_reaches_everybody_who_waits() -> None:
    authority, told = ruled(), list[Decision]()
    request = call("buy")
    assert authority.reserve(request).effect == "ask"
    authority.when_answered(request.id, told.append)
    authority.when_answered(request.id, told.append)
    answer = authority.approve(request.id, "ann")
    assert (answer.effect, answer.max_tokens) == ("cap", 5)
    authority.when_answered(request.id, told.append)
    assert told == [answer] * 3


def test_who_waits_for_what_its_caller_gave_up_is_told() -> None:
    authority, told = ruled(), list[Decision]()
    request = call("buy")
    authority.reserve(request)
    authority.when_answered(request.id, told.append)
    authority.release(request.id, "it was never begun")
    assert [answer.effect for answer in told] == ["deny"]


def test_a_limit_that_the_policy_has_no_more_is_gone_after_a_restart(tmp_path: Path) -> None:
    def allocated(*limits: str) -> dict[str, int | None]:
        policy = parse_policy(f"limits: {{acme: {{{', '.join(limits)}}}}}") if limits else None
        authority = recover(tmp_path / "ledger.db", Clock(), policy)
        authority.reserve(ask(f"{next(NUMBERS)}", calls=1))
        if "usd: 1" in limits:
            authority.set_budget("acme", {"bytes": 3})
        found = {unit: one.allocated for unit, one in authority.balances("acme").items()}
        authority.close()
        return found

    first = {"calls": 50, "tokens": 9, "usd_micro": 1_000_000, "bytes": 3}
    assert allocated("calls: 50", "tokens: 9", "usd: 1") == first
    assert allocated("calls: 50", "tokens: 8") == first | {"tokens": 8, "usd_micro": None}
    nothing = dict.fromkeys(("calls", "tokens", "usd_micro"))
    assert allocated() == {**nothing, "bytes": 3}  # what was set by hand stays


def test_time_goes_on_over_a_restart_when_the_clock_was_put_back(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "ledger.db"
    clock.now = 10**13
    authority = recover(file, clock)
    assert done(authority, ask("a", calls=1)) == "allow"
    clock.now += 10**12
    authority.sweep()  # forgets `a`
    authority.set_budget("acme", {"calls": 5})
    authority.close()
    clock.now = 5
    authority = recover(file, clock)
    authority.reserve(ask("a", calls=1))
    clock.now = 105
    assert [made.id for made in authority.sweep()] == ["a"]
    authority.close()
    assert recover(file, clock).balances("acme")["calls"] == Balance(5, 0, 1)


def test_who_is_told_and_raises_leaves_no_gap_in_the_journal(tmp_path: Path) -> None:
    clock = Clock()
    authority = recover(tmp_path / "ledger.db", clock, POLICY)

    def raises(answer: Decision) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        request = call("buy")
        authority.reserve(request)
        authority.when_answered(request.id, raises)
    clock.now = 10**12
    with pytest.raises(ZeroDivisionError):
        authority.sweep()
    authority.close()
    recover(tmp_path / "ledger.db", clock, POLICY).close()


def under(**rules: Any) -> Authority:
    return Authority(Ledger(), None, Clock(), parse_policy(rules))


def tool(id: str, name: str = "tool.refund", scope: str = "acme/w/b/r") -> ReserveRequest:
    return ReserveRequest(id, scope, name, {"calls": 1})


@pytest.mark.parametrize("per", ["run", "tenant", "@refunds"])
def test_what_a_rules_cap_has_used_up_is_closed(per: str) -> None:
    cap = {"calls": 1, "per": per}
    authority = under(rules=[{"name": "once", "allow": "tool.refund", "cap": cap}])
    assert authority.closed("acme/w/b/r", "tool.refund") == ""
    assert authority.reserve(tool("a")).allowed
    assert "calls:rule.once" in authority.closed("acme/w/b/r", "tool.refund")
    assert authority.closed("acme/w/b/r", "tool.look") == ""
    other = authority.closed("acme/w/b/r2", "tool.refund")
    assert bool(other) is (per != "run")


def test_a_cap_that_only_some_actions_meet_closes_nothing() -> None:
    rule = {"name": "once", "allow": "tool.refund", "when": {"big": True}, "cap": {"calls": 0}}
    assert under(rules=[rule]).closed("acme/w/b/r", "tool.refund") == ""


def test_who_waits_in_a_scope_that_is_stopped_is_refused() -> None:
    authority = under(rules=[{"name": "ask", "ask": "tool.refund"}])
    told: list[Decision] = []
    for id, scope in (("a", "acme/w/b/r"), ("b", "zeta/w/b/r")):
        assert authority.reserve(tool(id, scope=scope)).effect == "ask"
        authority.when_answered(id, told.append)
    authority.stop("acme/w", "it went in circles")
    assert [(one.id, one.code) for one in told] == [("a", "approval_refused")]
    assert "it went in circles" in told[0].fix
    assert (authority.state("a"), authority.state("b")) == ("released", "pending")
