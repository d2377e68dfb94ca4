"""What the provider counted."""

from __future__ import annotations

from proofrig.providers.answers import Failure
from proofrig.providers.counters import Counters
from proofrig.wire.turn import Usage


def test_calls_are_counted_by_tenant_and_refusals_by_reason() -> None:
    counters = Counters()
    counters.served("a", Usage(10, 5))
    counters.served("a", Usage(1, 1))
    counters.refuse("a", Failure(429, "rate_limit_exceeded", "", reason="tokens"))
    counters.refuse("b", Failure(429, "rate_limit_exceeded", "", reason="tokens"))
    assert counters.of("a") == {"served": 2, "input_tokens": 11, "output_tokens": 6, "refused": 1}
    assert counters.of("b") == {"refused": 1}
    assert counters.as_dict()["refused"] == {"tokens": 2}
