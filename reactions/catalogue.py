"""The faults: every kind, with the settings that tell something.

Rules:
1. Every kind that proofrig has is in `ROWS` or `TOOL_ROWS`, or in `ELSEWHERE`, which says why not.
2. Waits are short, so that the whole matrix is; `timeout_s` is the client's own timeout, None for
   its default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LIMIT_S = 8.0  # what is not back by then waits, or sleeps


@dataclass(frozen=True, slots=True)
class Row:
    """A fault. tool: it strikes the answer that holds a tool call, not the one that is text.
    untold: the answer is right in every way but what it says, so no client can tell. at_once: the
    calls of a tool overlap, and each is struck."""

    title: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    tool: bool = False
    timeout_s: float | None = None
    limit_s: float = LIMIT_S
    untold: bool = False
    at_once: bool = False


def _in_call(title: str, kind: str, **settings: Any) -> Row:
    return Row(f"{title}, in a tool call", kind, settings, tool=True)


def _limited(title: str, **settings: Any) -> Row:
    return Row(f"429, {title}", "rate_limit", settings)


SHAPES = ("listed", "nested", "stringified", "missing", "nulled")

_TIME = (
    Row("latency, 1 s", "latency", {"ms": 1000}),
    Row("latency, client timeout 0.5 s", "latency", {"ms": 3000}, timeout_s=0.5),
    Row("slow first token, 1 s", "slow_first_token", {"s": 1}),
    Row("slow first token, client timeout 0.5 s", "slow_first_token", {"s": 3}, timeout_s=0.5),
    Row("stall in the answer", "stall", {"after_events": 5, "after_bytes": 40}),
    Row(
        "stall in the answer, client timeout 0.5 s",
        "stall",
        {"after_events": 5, "after_bytes": 40},
        timeout_s=0.5,
    ),
    Row(
        "trickle for longer than the client's timeout of 0.5 s",
        "trickle",
        {"bytes": 32, "ms": 40},
        timeout_s=0.5,
        limit_s=30,
    ),
    Row(
        "pings for longer than the client's timeout of 0.5 s",
        "trickle",
        {"pings": 1, "ms": 50},
        timeout_s=0.5,
    ),
)
_BROKEN = (
    Row("reset before the answer", "reset", {"after_events": None, "after_bytes": None}),
    Row("reset in the answer", "reset", {"after_events": 5, "after_bytes": 40}),
    Row("closed before the answer", "close_early", {"after_events": None, "after_bytes": None}),
    Row("closed in the answer", "close_early", {"after_events": 5, "after_bytes": 40}),
    Row("terminal event missing", "drop_terminal"),
    Row("last event missing, finish reason there", "drop_terminal", {"keep": "finish"}),
    Row("an early end that looks like a proper one", "truncated_body", {"after_events": 5}),
    Row("partial response", "partial_response", untold=True),
    _in_call("reset", "reset", after_events=5, after_bytes=40),
    _in_call("closed", "close_early", after_events=5, after_bytes=40),
    _in_call("terminal event missing", "drop_terminal"),
    _in_call("an early end that looks like a proper one", "truncated_body", after_events=5),
    _in_call("truncated arguments, finish reason `length`", "truncated_arguments"),
    _in_call(
        "truncated arguments, finish reason `tool_calls`",
        "truncated_arguments",
        finish="tool_calls",
    ),
)
_EVENTS = (
    Row("events twice", "duplicate_events"),
    Row("events twice, framing too", "duplicate_events", {"which": "all"}),
    Row("events reordered", "reordered_events"),
    _in_call("events twice", "duplicate_events"),
    _in_call("events reordered", "reordered_events"),
    Row("malformed UTF-8", "malformed_utf8"),
    Row("character split between chunks", "split_utf8"),
)
_STATUS = (
    _limited("no `retry-after`", retry_after="none"),
    _limited("`retry-after: 1`", retry_after="seconds", wait_s=1),
    _limited("`retry-after-ms: 100`", retry_after="milliseconds", wait_s=0.1),
    _limited("`retry-after` as a date, 2 s ahead", retry_after="date", wait_s=2),
    _limited("`retry-after: 3600`", retry_after="huge"),
    _limited("`x-should-retry: false`", retry_after="none", should_retry=False),
    Row("429 once, `retry-after: 1`", "rate_limit", {"wait_s": 1, "times": 1}),
    *(Row(f"{code}", "http_error", {"status": code}) for code in (400, 401, 403, 408, 409)),
    *(Row(f"{code}", "http_error", {"status": code}) for code in (500, 503, 529)),
    Row("503 once", "http_error", {"status": 503, "times": 1}),
    Row("503 once, the call carried out", "http_error", {"executed": True, "times": 1}),
    Row("400, `x-should-retry: true`", "http_error", {"status": 400, "should_retry": True}),
    Row("key expired, not renewed", "token_expiry", {"after_s": 0}),
)
_CONTENT = (
    Row("HTML page, status 200", "html_page"),
    Row("error object, status 200", "error_object", {"after_events": 0}),
    Row("error event in a stream", "error_object", {"after_events": 5}),
    Row("empty turn", "empty_result", untold=True),
    Row("`{}` as the body", "empty_result", {"form": "empty_object"}),
    Row("empty body", "empty_result", {"form": "empty_body"}),
    *(Row(f"wrong shape: {shape}", "wrong_shape", {"shape": shape}) for shape in SHAPES),
    Row("schema drift", "schema_drift"),
    Row("huge result, 8,000 tokens more", "huge_result", limit_s=60),
    Row("an earlier answer, once", "stale_result", {"times": 1}, untold=True),
)
_PROCESS = (
    Row("the client's process stands still for 1 s", "pause", {"for_s": 1}),
    Row("the client's process is killed", "kill"),
)
ROWS: tuple[Row, ...] = (*_TIME, *_BROKEN, *_EVENTS, *_STATUS, *_CONTENT, *_PROCESS)

TOOL_ROWS: tuple[Row, ...] = (
    Row("latency, 1 s", "latency", {"ms": 1000}),
    Row("latency, client timeout 0.5 s", "latency", {"ms": 3000}, timeout_s=0.5),
    Row("stall in the answer", "stall", {"after_bytes": 20}),
    Row("reset before the answer", "reset", {"after_events": None, "after_bytes": None}),
    Row(
        "reset, the call carried out",
        "reset",
        {"after_events": None, "after_bytes": None, "executed": True},
    ),
    Row("closed in the answer", "close_early", {"after_events": 0, "after_bytes": 20}),
    Row("truncated body", "truncated_body", {"after_events": 0}),
    Row("malformed UTF-8", "malformed_utf8"),
    Row("HTML page, status 200", "html_page"),
    Row("error as a result", "error_object", untold=True),
    Row("empty result", "empty_result", untold=True),
    *(Row(f"wrong shape: {shape}", "wrong_shape", {"shape": shape}) for shape in SHAPES),
    Row("schema drift, a member renamed", "schema_drift", {"rename": {"status": "state"}}),
    Row("huge result, 8,000 tokens more", "huge_result"),
    Row("429, `retry-after: 1`", "rate_limit", {"wait_s": 1}),
    Row("503", "http_error"),
    Row("503, the call carried out", "http_error", {"executed": True}),
    Row("key expired, not renewed", "token_expiry", {"after_s": 0}),
    Row("the result of an earlier call", "stale_result", untold=True),
    Row("late by 1 s", "late_result", {"by_s": 1}),
    Row("late by 2 s, client timeout 0.5 s", "late_result", {"by_s": 2}, timeout_s=0.5),
    Row("two calls at once, the results in the other order", "reordered_results", at_once=True),
    Row("request delivered twice", "duplicate_delivery"),
)
_SHARED = "acts on what agents share, and not on an answer; "
ELSEWHERE: dict[str, str] = {
    "pool_hold": "the call that it strikes goes through; others wait in the gateway, and to their "
    "clients that is latency.",
    "lock_expiry": f"{_SHARED}whose lock is gone is told so by its fencing token.",
    "cache_flush": f"{_SHARED}a client reads that there is nothing.",
}
# Cells that end now so, now so: row and client -> how often they are observed.
UNSTEADY: dict[tuple[str, str], int] = {
    (f"wrong shape: {shape}", "openai_agents_agent/run_streamed"): 24
    for shape in ("missing", "nulled")
}
