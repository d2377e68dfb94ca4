"""Shadow mode: what is noted, what is booked, and that nothing is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from proofrig.authority.authority import Authority, recover
from proofrig.authority.ledger import Ledger
from proofrig.authority.policy import parse_policy
from proofrig.authority.shadow import Shadow, recover_shadow
from proofrig.authority.transition import ReserveRequest

SECOND = 1_000_000_000
RUN = "acme/desk/bot/1"


class Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


def shadow_of(policy: dict[str, Any], clock: Clock | None = None) -> Shadow:
    clock = clock or Clock()
    return Shadow(Ledger(), None, clock, Authority(Ledger(), None, clock, parse_policy(policy)))


def request(id: str, name: str = "tool.look", tokens: int = 10) -> ReserveRequest:
    return ReserveRequest(id, RUN, name, {"calls": 1, "tokens": tokens})


def go(shadow: Shadow, id: str, name: str = "tool.look", tokens: int = 10) -> str:
    """Carry an action out; what would have been decided."""
    decision = shadow.reserve(request(id, name, tokens))
    assert decision.effect == "allow" and decision.shadow is not None
    shadow.start(id)
    shadow.commit(id, {"calls": 1, "tokens": tokens})
    return decision.shadow.code or decision.shadow.effect


def test_a_budget_runs_out_in_the_shadow_and_nothing_is_refused() -> None:
    shadow = shadow_of({"limits": {"acme": {"calls": 2}}})
    assert [go(shadow, str(n)) for n in range(4)] == ["allow", "allow"] + ["budget_exceeded"] * 2
    assert shadow.balances("acme")["calls"].spent == 4
    assert shadow.balances("acme")["calls"].allocated is None
    assert shadow.judge.balances("acme")["calls"].spent == 2
    assert shadow.judge.balances("acme")["calls"].remaining == 0


def test_what_is_denied_leaves_no_taint_and_earns_no_step() -> None:
    rules = [
        {"name": "no-web", "deny": "tool.fetch"},
        {"name": "no-mail", "deny": "tool.mail", "tainted": "web"},
        {"name": "plan-first", "deny": "tool.write", "step": "gather"},
        {"name": "no-plan", "deny": "tool.plan"},
    ]
    steps = [{"name": "gather"}, {"name": "act", "after": "tool.plan"}]
    shadow = shadow_of({"rules": rules, "taint": {"tool.fetch": "web"}, "steps": steps})
    names = ("tool.fetch", "tool.mail", "tool.plan", "tool.write")
    decided = [go(shadow, str(n), name) for n, name in enumerate(names)]
    assert decided == ["forbidden", "allow", "forbidden", "forbidden"]


def test_what_asks_holds_its_budget_until_its_time_is_over() -> None:
    clock = Clock()
    rule = {"name": "asks", "ask": "tool.refund", "wait_s": 3}
    shadow = shadow_of({"rules": [rule], "limits": {"acme": {"calls": 1}}}, clock)
    assert go(shadow, "a", "tool.refund") == "ask"
    assert go(shadow, "b") == "budget_exceeded"
    clock.now = 3 * SECOND  # without a sweep: what is asked next ends the wait
    assert go(shadow, "c") == "allow"


def test_what_asked_is_not_given_back_by_what_really_happened() -> None:
    rule = {"name": "asks", "ask": "tool.refund", "wait_s": 3}
    shadow = shadow_of({"rules": [rule], "limits": {"acme": {"calls": 1}}})
    decision = shadow.reserve(request("a", "tool.refund"))
    assert decision.shadow is not None and decision.shadow.effect == "ask"
    shadow.release("a", "never_sent")
    assert go(shadow, "b") == "budget_exceeded"


def test_a_stop_stops_the_shadow_alone() -> None:
    shadow = shadow_of({})
    shadow.stop(RUN, "it goes round in circles")
    assert go(shadow, "a") == "run_stopped"


def test_facts_for_the_history_hold_the_decision_that_was_only_noted() -> None:
    shadow = shadow_of({"rules": [{"name": "no", "deny": "tool.look", "fix": "look elsewhere"}]})
    assert shadow.reserve(request("a")).facts() == {
        "decision": "allow",
        "shadow": {
            "decision": "deny",
            "rule": "no",
            "code": "forbidden",
            "at": RUN,
            "fix": "look elsewhere",
        },
    }
    assert shadow.reserve(request("b", "tool.other")).facts() == {"decision": "allow"}


def test_both_ledgers_survive_a_restart(tmp_path: Path) -> None:
    clock, policy = Clock(), parse_policy({"limits": {"acme": {"calls": 2}}})

    def opened() -> Shadow:
        judge = recover(tmp_path / "shadow.db", clock, policy)
        return recover_shadow(tmp_path / "real.db", clock, judge)

    first = opened()
    assert [go(first, id) for id in "abc"] == ["allow", "allow", "budget_exceeded"]
    first.close()
    second = opened()
    assert second.balances("acme")["calls"].spent == 3
    assert second.judge.balances("acme")["calls"].spent == 2
    assert go(second, "d") == "budget_exceeded"
    second.close()


def test_a_shadow_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    clock = Clock()
    judge = recover(tmp_path / "judge.db", clock, parse_policy({"limits": {"acme": {"calls": 1}}}))
    shadow = recover_shadow(tmp_path / "ledger.db", clock, judge)
    assert go(shadow, "a") == "allow"
    db = sqlite3.connect(tmp_path / "judge.db", isolation_level=None)
    db.execute("alter table transitions rename to away")
    for id in ("b", "c"):
        assert shadow.reserve(request(id)).allowed
        shadow.start(id)
        shadow.commit(id, {"calls": 1})
    db.execute("alter table away rename to transitions")
    db.close()
    assert go(shadow, "d") == "budget_exceeded"
    assert shadow.balances("acme")["calls"].spent == 4
    shadow.close()
