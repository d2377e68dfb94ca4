"""Recorded actions and a policy in, what it decides otherwise out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from proofrig.authority.policy import parse_policy
from proofrig.authority.replay import CEILING, Comparison, Recorded, compare
from proofrig.history.action import Entry, Kind

RUN = "acme/desk/bot/1"
SECOND = 1_000_000_000
DENY = {"decision": "deny", "rule": "old", "code": "forbidden"}


class Tape:
    """A history in the making; a second passes before each action."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.payloads: dict[str, bytes] = {}

    def write(self, kind: Kind, name: str, id: str = "", **attrs: Any) -> None:
        scope = attrs.pop("scope", RUN)
        t = len(self.entries) * SECOND // 4
        self.entries.append(Entry(0, t, kind, name, "case:1", "acme", scope, id, attrs))

    def payload(self, value: Any) -> str:
        digest = f"d{len(self.payloads)}"
        self.payloads[digest] = json.dumps(value).encode()
        return digest

    def tool(
        self, name: str, arguments: Any = None, *, reserve: Any = None, ok: bool = True, **told: Any
    ) -> None:
        id, name = str(len(self.entries)), f"tool.{name}"
        facts = {"decision": "allow", "estimate": {"calls": 1, "calls:tool": 1}}
        facts |= {"arguments": self.payload(arguments or {})} | (reserve or {})
        self.write("reserve", name, id, **facts, **told)
        if facts["decision"] != "deny":
            self.write("start", name, id)
            actual, outcome = {"calls": 1, "calls:tool": 1}, "ok" if ok else "fail"
            self.write("commit", name, id, actual=actual, outcome=outcome)

    def under(self, policy: dict[str, Any], run_dir: Path | None = None) -> Comparison:
        recorded = Recorded(lambda: self.entries, self.payloads.get, run_dir)
        return compare(recorded.under(parse_policy(policy)))


def changes(found: Comparison) -> list[tuple[str, str, int]]:
    return [(one.kind, one.rule or one.code, one.count) for one in found.changes]


def rules(*written: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = [{"name": f"r{n}"} | rule for n, rule in enumerate(written)]
    return {"rules": named, **more}


def test_nothing_changes_where_the_policy_says_the_same() -> None:
    tape = Tape()
    tape.tool("look")
    tape.tool("mail", reserve=DENY)
    found = tape.under({"rules": [{"name": "other-name", "deny": "tool.mail"}]})
    assert (found.actions, found.then, found.now) == (2, *[{"allow": 1, "deny": 1}] * 2)
    assert found.changes == []


def test_denials_come_first_with_their_rule_names_and_examples() -> None:
    tape = Tape()
    for amount in (20, 80, 90):
        tape.tool("refund", {"amount": amount})
    tape.tool("mail", reserve=DENY)
    when = {"amount": {">": 50}}
    found = tape.under(
        rules({"deny": "tool.refund", "when": when}, {"ask": "tool.refund", "wait_s": 1})
    )
    assert changes(found) == [("denied", "r0", 2), ("asked", "r1", 1), ("allowed", "old", 1)]
    denied = found.changes[0]
    assert denied.names == {"tool.refund": 2}
    assert [one.act.arguments for one in denied.first] == [{"amount": 80}, {"amount": 90}]


def test_limits_count_what_was_recorded_and_not_what_is_denied() -> None:
    tape = Tape()
    for _ in range(5):
        tape.tool("search")
    found = tape.under({"limits": {"*/*/*/*": {"calls:tool.search": 2}}})
    assert changes(found) == [("denied", "budget_exceeded", 3)]
    assert changes(tape.under({"limits": {"acme": {"calls": 4}}})) == [
        ("denied", "budget_exceeded", 1)
    ]


def test_windows_run_on_the_recorded_times() -> None:
    tape = Tape()
    limit = {"limits": {"acme": {"calls/minute": 1}}}
    tape.tool("a")
    tape.tool("b")
    tape.entries += [
        Entry(
            0, 90 * SECOND, "reserve", "tool.c", "case:1", "acme", RUN, "c", {"decision": "allow"}
        )
    ]
    assert changes(tape.under(limit)) == [("denied", "rate_exceeded", 1)]


def test_taints_steps_and_caps_follow_the_record() -> None:
    tape = Tape()
    tape.tool("write")
    tape.tool("plan", ok=False)
    tape.tool("write")
    tape.tool("plan")
    tape.tool("write")
    tape.tool("fetch")
    tape.tool("mail")
    policy = rules(
        {"deny": "tool.write", "step": "gather"},
        {"deny": "tool.mail", "tainted": "web"},
        {"allow": "tool.plan", "cap": {"calls": 1}},
        steps=[{"name": "gather"}, {"name": "act", "after": "tool.plan"}],
        taint={"tool.fetch": "web"},
    )
    # The cap takes the plan that would have led to the next step.
    assert changes(tape.under(policy)) == [
        ("denied", "r0", 3),
        ("denied", "r2", 1),
        ("denied", "r1", 1),
    ]
    del policy["rules"][2]
    assert changes(tape.under(policy)) == [("denied", "r0", 2), ("denied", "r1", 1)]


def test_units_of_the_recorded_policy_taint_nothing_under_another() -> None:
    tape = Tape()
    actual = {"calls": 1, "taint:web": 1, "calls:tool.look": 9}
    tape.write("reserve", "tool.look", "1", decision="allow", estimate={"calls": 1})
    tape.write("start", "tool.look", "1")
    tape.write("commit", "tool.look", "1", actual=actual, outcome="ok")
    tape.tool("mail")
    tape.tool("look")
    policy = rules({"deny": "tool.mail", "tainted": True}, taint={"tool.other": "web"})
    assert changes(tape.under(policy)) == []
    assert changes(tape.under({"limits": {"acme": {"calls:tool.look": 2}}})) == []


def test_the_recorded_answer_counts_where_it_asked_then_too() -> None:
    policy = rules({"ask": "tool.refund", "wait_s": 9}, {"deny": "tool.mail", "step": "gather"})
    policy["steps"] = [{"name": "gather"}, {"name": "act", "after": "tool.refund"}]
    for answer, expected in (("approve", []), ("refuse", [("denied", "r1", 1)])):
        tape = Tape()
        tape.write("reserve", "tool.refund", "1", decision="ask", rule="r0", estimate={"calls": 1})
        tape.write("note", "approval", "1", answer=answer)
        if answer == "approve":
            tape.write("start", "tool.refund", "1")
            tape.write("commit", "tool.refund", "1", actual={"calls": 1}, outcome="ok")
        else:
            tape.write("release", "tool.refund", "1", reason="approval_refused")
        tape.tool("mail")
        assert changes(tape.under(policy)) == expected


@pytest.mark.parametrize("code", ["invalid_request", "price_unknown", "repeat_detected"])
def test_what_never_came_to_the_authority_is_passed_over(code: str) -> None:
    tape = Tape()
    tape.tool("look", reserve={"decision": "deny", "code": code})
    assert tape.under({"default": "deny"}).actions == 0


def test_what_shadow_mode_noted_is_what_was_decided_then() -> None:
    tape = Tape()
    noted = {"shadow": DENY | {"rule": "r0"}}
    tape.tool("mail", reserve=noted)
    assert changes(tape.under(rules({"deny": "tool.mail"}))) == []
    assert changes(tape.under({})) == [("allowed", "r0", 1)]


def test_a_stop_of_the_watch_stops_the_run_again() -> None:
    tape = Tape()
    tape.write("note", "anomaly", step="stop", says="loop")
    tape.tool("look", reserve={"decision": "deny", "code": "run_stopped"})
    assert changes(tape.under({})) == []


def test_a_call_to_a_model_is_read_from_its_request() -> None:
    tape = Tape()
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    for more in ({}, {"max_tokens": 90}):
        told = {"model": "m", "api": "chat_completions", "request": tape.payload(body | more)}
        tape.write("reserve", "llm.chat_completions", str(len(more)), decision="allow", **told)
    acts = list(Recorded(lambda: tape.entries, tape.payloads.get).acts())
    assert [act.arguments["max_tokens"] for act in acts] == [CEILING, 90]
    assert acts[0].arguments["tools"] == ["look"]
    found = tape.under(rules({"allow": "llm.*", "max_tokens": 50}))
    assert changes(found) == [("capped", "r0", 2)]


def test_an_operation_on_a_service_is_read_from_its_start() -> None:
    tape = Tape()
    tape.write("reserve", "kv.put", "1", decision="allow", service="memory")
    tape.write("start", "kv.put", "1", service="memory", key="stock/1", value="4")
    rule = {"deny": "kv.put", "when": {"key": {"matches": "^stock/"}}}
    assert changes(tape.under(rules(rule))) == [("denied", "r0", 1)]


def test_paths_are_placed_in_the_world_of_the_trial(tmp_path: Path) -> None:
    world = tmp_path / "trials" / "a" / "world"
    world.mkdir(parents=True)
    tape = Tape()
    for path in ("tests/a.py", str(world / "tests" / "a.py"), "src/../tests/b.py", "src/a.py"):
        tape.tool("write_file", {"path": path})
    tape.write("trial", "end", world="trials/a/world")
    rule = {"deny": "tool.write_file", "paths": {"path": "tests/**"}}
    assert changes(tape.under(rules(rule), tmp_path)) == [("denied", "r0", 3)]


def test_a_torn_history_is_read_as_far_as_it_goes() -> None:
    tape = Tape()
    tape.write("start", "tool.look", "gone")
    tape.write("commit", "tool.look", "gone", actual={"calls": 1}, outcome="ok")
    tape.tool("look")
    tape.write("commit", "tool.look", "2", actual={"calls": 1}, outcome="ok")
    assert tape.under({"limits": {"acme": {"calls": 1}}}).changes == []


def test_a_call_behind_others_of_its_turn_is_asked_for_with_them() -> None:
    def changed(ahead: Iterable[int]) -> list[tuple[str, str, int]]:
        tape = Tape()
        for before in ahead:
            tape.tool("search", ahead=before)
        return changes(tape.under({"limits": {"acme": {"calls:tool.search": 2}}}))

    assert changed([0, 0]) == []
    assert changed([2]) == [("denied", "budget_exceeded", 1)]
