"""What an agent has come to, from its entries."""

from __future__ import annotations

from builders import entry
from proofrig.demo.counters import Counters

SECOND = 1_000_000_000
MODEL = {"calls": 1, "calls:llm": 1, "tokens": 900, "usd_micro": 10_000}
TOOL = {"calls": 1, "calls:tool": 1}


def counted(*entries: object) -> Counters:
    counters = Counters()
    for one in entries:
        counters.step(one)  # type: ignore[arg-type]
    return counters


def test_calls_tokens_and_money_are_what_was_charged() -> None:
    side = counted(
        entry("reserve", "llm.messages", t=SECOND, decision="allow"),
        entry("commit", "llm.messages", t=2 * SECOND, actual=MODEL),
        entry("commit", "tool.score", t=2 * SECOND, actual=TOOL),
        entry("commit", "llm.messages", t=3 * SECOND, actual=MODEL),
        entry("reserve", "llm.messages", t=3 * SECOND, decision="deny"),
    )
    assert (side.model_calls, side.tool_calls, side.refused) == (2, 1, 1)
    assert (side.tokens, side.usd_micro, side.state) == (1_800, 20_000, "running")


def test_the_pace_is_what_was_spent_since_the_first_call() -> None:
    side = counted(
        entry("reserve", "llm.messages", t=SECOND, decision="allow"),
        entry("commit", "llm.messages", t=2 * SECOND, actual=MODEL),
    )
    assert side.elapsed_ns(5 * SECOND) == 4 * SECOND
    assert side.an_hour(5 * SECOND) == 10_000 * 3600 / 4
    side.step(entry("trial", "end", t=3 * SECOND, failure="timeout"))
    assert side.an_hour(99 * SECOND) == 10_000 * 3600 / 2
    assert (side.state, side.ending) == ("ended", "timeout")


def test_what_is_stopped_has_no_pace() -> None:
    side = counted(
        entry("reserve", "llm.messages", t=0, decision="allow"),
        entry("commit", "llm.messages", t=SECOND, actual=MODEL),
        entry("note", "anomaly", t=SECOND, step="warn"),
    )
    assert side.state == "running"
    side.step(entry("note", "anomaly", t=SECOND, step="stop"))
    assert (side.state, side.an_hour(2 * SECOND)) == ("stopped", 0.0)


def test_nothing_is_known_before_the_first_call() -> None:
    side = Counters()
    assert (side.state, side.elapsed_ns(SECOND), side.an_hour(SECOND)) == ("starting", 0, 0.0)
