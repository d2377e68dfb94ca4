"""What happens in a run, in lines."""

from __future__ import annotations

from typing import Any

import pytest

from builders import entry
from proofrig.demo.telling import Teller, amount, call_text, why
from proofrig.history.action import Entry

PAYLOADS: dict[str, Any] = {
    "refund": {"amount": 400, "order": "1002", "reason": "late"},
    "write": {"content": "x" * 900, "path": "tests/t.py"},
    "long": {"reply": "x" * 900},
    "answer": "It is\ndone.",
    **{f"q{n}": {"query": f"q{n}"} for n in range(1, 7)},
}


def asked(place: int, decision: str, *, turn: str = "", arguments: str = "", **attrs: Any) -> Entry:
    """A tool call that a model asked for as the `place`th of its turn."""
    told = {"asked_by": turn, "call_id": f"call_{place:02}"} if turn else {}
    return entry(
        "reserve",
        "tool.search",
        t=place,
        id=f"a{place}",
        decision=decision,
        arguments=arguments or f"q{place}",
        **told,
        **attrs,
    )


def told(*entries: Entry, quiet: bool = False, named: bool = False) -> list[tuple[str, str]]:
    teller = Teller(PAYLOADS.get, quiet=quiet, named=named)
    return [(line.mark, line.text) for one in entries for line in teller.told(one)]


def test_a_turn_is_told_in_the_models_order_when_it_has_all_come() -> None:
    full = {"code": "budget_exceeded", "remaining": {"calls:tool.search": 0}}
    first = [asked(n, "allow", turn="m1") for n in (2, 1)]
    second = [
        asked(6, "deny", turn="m2", **full),
        asked(5, "deny", turn="m2", **full),
        asked(4, "allow", turn="m2"),
        asked(3, "allow", turn="m2"),
    ]
    model = entry("reserve", "llm.messages", decision="allow")
    assert told(*first) == []
    assert told(*first, model, *second, model) == [
        ("ok", "search, calls 1 to 2"),
        ("ok", "search, calls 3 to 4"),
        ("deny", "search, call 5: budget_exceeded, 0 calls:tool.search left"),
        ("deny", "search, call 6: budget_exceeded, 0 calls:tool.search left"),
    ]


def test_a_call_that_no_model_asked_for_is_told_at_once() -> None:
    assert told(asked(1, "allow")) == [("ok", "search(q1)")]
    assert told(asked(1, "allow"), quiet=True) == []


def test_an_approval_is_told_with_its_call() -> None:
    ask = asked(1, "ask", arguments="refund", rule="large")
    answer = entry("note", "approval", id="a1", answer="approve", waited_ns=1_500_000_000)
    assert told(ask, answer) == [
        ("ask", "search(amount=400, order=1002): large"),
        ("ok", "search(amount=400, order=1002): approved after 1.50 s"),
    ]


def test_a_step_of_the_watch_is_one_line_with_the_refusal_it_makes() -> None:
    step = entry("note", "anomaly", t=99)
    step.attrs.update({"kind": "no_progress", "step": "deny", "count": 12})
    refused = entry("reserve", "tool.search", t=100, id="b", decision="deny", code="x")
    again = entry(
        "reserve", "tool.search", t=50_000_000, id="c", decision="deny", code="x_detected"
    )
    assert told(step, refused, again) == [
        ("deny", "watch: no progress, 12 in a row; the call is refused"),
        ("deny", "search(): x_detected"),
    ]


def test_what_is_cut_from_a_request_is_told() -> None:
    cap = entry("reserve", "llm.messages", decision="cap", max_tokens=360)
    cut = entry("reserve", "llm.messages", decision="allow", amended=["tools"])
    assert [mark for mark, _ in told(cap, cut)] == ["cap", "cap"]
    assert "360 tokens at most" in told(cap)[0][1]


def test_the_answer_ends_a_trial_with_the_name_of_its_agent() -> None:
    end = entry("trial", "end", answer="answer")
    assert told(end, named=True) == [("done", 'agent  "It is\ndone."')]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("refund", "search(amount=400, order=1002)"),
        ("write", "search(tests/t.py)"),
        ("long", "search(...)"),
        ("none", "search()"),
    ],
)
def test_a_call_is_shown_with_its_first_short_arguments(payload: str, text: str) -> None:
    assert call_text(asked(1, "allow", arguments=payload), PAYLOADS.get) == text


def test_a_reason_is_the_rule_or_the_code_with_what_remains() -> None:
    assert why({"rule": "r", "code": "forbidden"}) == "r"
    assert why({"code": "run_stopped"}) == "run_stopped"
    assert why({"code": "c", "remaining": {"usd_micro": 16_700}}) == "c, $0.0167 left"
    assert amount("usd_micro/day", 2_000_000) == "$2.00 a day"
