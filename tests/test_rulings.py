"""Entries in, what the authority decided and charged out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from authority_report_runs import PRICE, a_ruled_run
from proofrig.history.action import Entry, Kind
from proofrig.rulings import EXAMPLES, Charged, Known, Rulings, RulingsFold

RUN = "acme/desk/subject/case+1"


def entry(kind: Kind, name: str, id: str = "", *, trial: str = "case:1", **attrs: Any) -> Entry:
    scope = f"acme/desk/subject/{trial.replace(':', '+')}"
    return Entry(0, 7, kind, name, trial, "acme", scope, id, attrs)


def folded(entries: Iterable[Entry], known: Known | None = None) -> Rulings:
    fold = RulingsFold(known or Known("enforce"))
    for one in entries:
        fold.step(one)
    found = fold.result()
    assert found is not None
    return found


def done(
    name: str, id: str, *, reserve: dict[str, Any] | None = None, **commit: Any
) -> list[Entry]:
    """An action from reserve to commit."""
    told = {"decision": "allow", **(reserve or {})}
    given = {"outcome": "ok", "actual": {"calls": 1}, **commit}
    return [
        entry("reserve", name, id, **told),
        entry("start", name, id),
        entry("commit", name, id, **given),
    ]


def deny(name: str, id: str, **told: Any) -> Entry:
    trial = told.pop("trial", "case:1")
    return entry("reserve", name, id, trial=trial, decision="deny", **told)


def test_a_run_without_a_policy_of_which_nothing_is_to_tell_has_no_rulings() -> None:
    fold = RulingsFold()
    for one in done("tool.look", "1"):
        fold.step(one)
    assert fold.result() is None


def test_denials_without_a_policy_are_told() -> None:
    fold = RulingsFold()
    fold.step(deny("llm.messages", "1", code="price_unknown", fix="give it a price"))
    found = fold.result()
    assert found is not None
    assert [(one.code, one.count, one.fix) for one in found.decided] == [
        ("price_unknown", 1, "give it a price")
    ]


def test_a_rule_is_one_row_wherever_it_refused() -> None:
    trials = [f"case:{n}" for n in range(5)]
    told = {"rule": "no-mail", "code": "forbidden"}
    found = folded(
        deny("tool.mail", str(n), trial=trial, at=f"acme/desk/subject/{n}", **told)
        for n, trial in enumerate(trials)
    )
    (row,) = found.decided
    assert (row.rule, row.count, row.trials, row.places) == ("no-mail", 5, 5, 5)
    assert row.names == {"tool.mail": 5}
    assert [one.trial for one in row.first] == trials[:EXAMPLES]
    assert found.decisions == {"deny": 5}


def test_a_limit_of_every_run_is_one_row_and_a_limit_of_a_tenant_another() -> None:
    runs = [deny("tool.a", str(n), code="budget_exceeded", at=f"acme/d/s/{n}") for n in range(3)]
    tenant = deny("tool.a", "t", code="budget_exceeded", at="acme")
    suite = deny("tool.a", "u", code="budget_exceeded", at="@suite")
    found = folded([*runs, tenant, suite])
    assert [(one.at, one.places, one.count) for one in found.decided] == [
        ("acme/d/s/0", 3, 3),
        ("acme", 1, 1),
        ("@suite", 1, 1),
    ]


def test_the_cap_of_a_rule_is_a_row_of_that_rule() -> None:
    told = {"code": "budget_exceeded", "remaining": {"calls": 7, "calls:rule.five": 0}}
    runs = [deny("tool.a", str(n), at=f"acme/d/s/{n}", **told) for n in range(3)]
    hour = {"code": "rate_exceeded", "remaining": {"calls:rule.six/hour": 0}}
    money = {"code": "budget_exceeded", "remaining": {"usd_micro": 0, "calls:rule.five": 1}}
    found = folded([*runs, deny("tool.b", "h", **hour), deny("tool.c", "m", at="acme", **money)])
    assert [(one.rule, one.count) for one in found.decided] == [("five", 3), ("", 1), ("six", 1)]


def test_answers_are_counted_with_what_asked() -> None:
    found = folded(
        [
            entry("reserve", "tool.refund", "1", decision="ask", rule="big"),
            entry("note", "approval", "1", rule="big", answer="approve", waited_ns=5),
            entry("reserve", "tool.refund", "2", decision="ask", rule="big"),
            entry("note", "approval", "2", rule="big", answer="timeout", waited_ns=9),
            entry("release", "tool.refund", "2", reason="approval_timeout", rule="big"),
        ]
    )
    (row,) = found.decided
    assert (row.effect, row.answers, row.waited_ns) == ("ask", {"approve": 1, "timeout": 1}, 14)


def test_shadow_mode_adds_up_what_those_actions_really_cost() -> None:
    shadow = {"decision": "deny", "rule": "dear", "code": "forbidden", "fix": "use the small one"}
    cost = {"usd_micro": 70, "tokens": 9}
    found = folded(
        [
            *done("llm.messages", "1", reserve={"shadow": shadow}, actual=cost),
            *done("llm.messages", "2", reserve={"shadow": shadow}, actual=cost),
            *done("llm.messages", "3", actual=cost),
        ],
        Known("shadow"),
    )
    assert found.decided == [] and found.decisions == {"allow": 3}
    (row,) = found.would
    assert (row.count, row.usd_micro, row.tokens, row.fix) == (2, 140, 18, "use the small one")


def test_what_was_seen_is_told_from_what_is_only_known_of() -> None:
    asked_by = {"asked_by": "1"}
    found = folded(
        [
            *done("llm.messages", "1", calls=3),
            *done("tool.look", "2", reserve=asked_by),
            deny("tool.look", "3", code="forbidden", rule="r", asked_by="1"),
            *done("kv.put", "4"),
            *done("kv.get", "5", reserve={"parent": "2"}),  # part of a tool call
            entry("start", "kv.get", "6"),  # an observer's
            entry("start", "pool.request", "7"),  # carries what is counted as something else
            entry("note", "unattributed", trial="", channel="none", method="POST", path="/v1"),
            entry("note", "unattributed", trial="", channel="none", tool="look"),
        ]
    )
    seen = found.coverage
    assert (seen.models, seen.tools, seen.others) == (1, 2, 1)
    assert (seen.unasked_tools, seen.unasked_models, seen.observed) == (2, 1, 1)
    assert (seen.seen, seen.known, seen.share) == (4, 8, 0.5)


def test_charges_are_told_by_source_and_by_price() -> None:
    found = folded(
        [
            *done("llm.messages", "1", source="measured", actual={"usd_micro": 5}, price="a"),
            *done("llm.messages", "2", source="partial", actual={"usd_micro": 7}, price="a"),
            *done("tool.look", "3", actual={"calls": 1}),
            *done("tool.look", "4", actual={"calls": 1}, outcome="unknown"),
            entry("reserve", "tool.look", "5", decision="allow"),
            entry("start", "tool.look", "5"),
        ]
    )
    assert found.charges == {"measured": Charged(3, 5), "partial": Charged(1, 7)}
    assert found.prices == {"a": Charged(2, 12)}
    assert (found.unknown.count, found.unended) == (1, 1)


def test_the_ledger_sums_every_scope_and_has_its_limits() -> None:
    limits = {"acme": {"usd_micro": 100, "tokens/minute": 9}, "@w": {"calls": 2}, "z": {"calls": 1}}
    limits[RUN] = {"calls:tool.look": 3, "calls:rule.x": 5, "children": 2}
    known = Known("enforce", lambda at: limits.get(at, {}), lambda name: ["@w"])
    cost = {"usd_micro": 4, "calls": 1, "taint:web": 1}
    found = folded(
        [*done("tool.look", "1", actual=cost), *done("tool.look", "2", actual=cost)], known
    )
    rows = {one.scope: one for one in found.ledger}
    assert list(rows) == ["acme", "acme/desk", "acme/desk/subject", RUN, "@w"]
    assert rows["acme"].actual == {"usd_micro": 8, "calls": 2}
    assert rows["acme"].limits == {"usd_micro": 100, "tokens/minute": 9}
    assert rows[RUN].actual == {"usd_micro": 8, "calls": 2, "calls:tool.look": 2, "children": 0}
    assert rows[RUN].limits == {"calls:tool.look": 3, "children": 2}
    assert rows["@w"].actual["calls"] == 2
    assert found.scopes == 5


def test_a_summary_keeps_all_of_it(tmp_path: Path) -> None:
    summary = a_ruled_run(tmp_path, "shadow").report(0).summary
    assert summary.authority is not None
    again = msgspec.json.decode(msgspec.json.encode(summary), type=type(summary))
    assert again == summary
    assert list(summary.authority.prices) == [PRICE]
    assert [(one.kind, one.step, one.shadow) for one in summary.authority.watched] == [
        ("repeat", "stop", True)
    ]


def test_an_older_summary_has_none(tmp_path: Path) -> None:
    summary = a_ruled_run(tmp_path).report(0).summary
    old = msgspec.json.decode(msgspec.json.encode(summary))
    del old["authority"]
    assert msgspec.convert(old, type(summary)).authority is None
