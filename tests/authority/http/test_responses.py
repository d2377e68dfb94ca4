"""Decisions as answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proofrig.authority.decision import Decision
from proofrig.authority.http.responses import decided


@pytest.mark.parametrize(
    ("decision", "status", "retry"),
    [
        (Decision("allow", "x"), 201, None),
        (Decision("cap", "x", max_tokens=5), 201, None),
        (Decision("ask", "x", wait_s=1.5), 202, None),
        (Decision("deny", "x", "budget_exceeded", scope="a", remaining={"calls": 0}), 429, None),
        (Decision("deny", "x", "rate_exceeded", retry_ns=1_000_000_001), 429, "2"),
        (Decision("deny", "x", "fan_out_exceeded"), 429, None),
        (Decision("deny", "x", "forbidden", rule="r"), 403, None),
        (Decision("deny", "x", "argument_missing"), 403, None),
        (Decision("deny", "x", "run_stopped"), 403, None),
    ],
)
def test_status_and_retry(decision: Decision, status: int, retry: str | None) -> None:
    answer = decided(decision, "mine")
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry)
    assert isinstance(answer.body, bytes)
    told: dict[str, Any] = json.loads(answer.body)
    assert (told["decision"], told["id"]) == (decision.effect, "mine")
    if status >= 400:
        assert told["reason"].keys() == {
            *("code", "rule", "scope", "remaining", "fix", "retry_after_ms")
        }
