"""What a suite's limits become for sandboxes, gateways and manifests."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.gateways.limits import CallLimits
from proofrig.sandboxes.sandbox import Limits
from proofrig.suites.limits import TrialLimits, box_of, calls_of, in_force

FULL = {
    **{"memory_mb": 512, "cpu_s": 1.5, "cpus": 0.5, "processes": 64, "open_files": 256},
    **{"disk_mb": 0.5, "egress_mb": 10, "allowed_tools": ["read_*"], "retries": 3},
    "context_tokens": 8000,
}


def limits(**written: Any) -> TrialLimits:
    return TrialLimits.model_validate(written)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"memory_mb": 0}, "greater than 0"),
        ({"memory_mb": "512"}, "valid number"),
        ({"cpu_s": -1}, "greater than 0"),
        ({"cpus": 0}, "greater than 0"),
        ({"processes": 1.5}, "valid integer"),
        ({"open_files": 3}, "greater than or equal to 16"),
        ({"retries": -1}, "greater than or equal to 0"),
        ({"context_tokens": 0}, "greater than or equal to 1"),
        ({"allowed_tools": ["read_[ab]"]}, "one glob per alternative"),
        ({"allowed_tools": [""]}, "expected a glob"),
        ({"memory": 512}, "Extra inputs"),
    ],
)
def test_what_is_no_limit_is_refused(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        limits(**written)


def test_nothing_is_limited_that_is_not_written() -> None:
    assert limits().box() == Limits()
    assert calls_of([limits()]) == CallLimits()


def test_a_box_gets_bytes_and_milliseconds() -> None:
    assert limits(**FULL).box() == Limits(
        memory_bytes=512_000_000,
        cpu_ms=1500,
        cpus=0.5,
        processes=64,
        open_files=256,
        disk_bytes=500_000,
        egress_bytes=10_000_000,
    )


def test_gateways_get_what_only_they_can_see() -> None:
    expected = CallLimits((("read_*",),), retries=3, context_tokens=8000, egress_bytes=10_000_000)
    assert calls_of([limits(**FULL)]) == expected


@pytest.mark.parametrize("turned", [False, True], ids=["one-other", "other-one"])
def test_of_two_the_lower_holds_and_both_lists_of_tools(turned: bool) -> None:
    one = limits(memory_mb=512, retries=0, cpu_s=1, allowed_tools=["read_*"])
    other = limits(memory_mb=256, retries=3, egress_mb=0, allowed_tools=["read_all", "search"])
    both = [other, one] if turned else [one, other]
    assert box_of(both) == Limits(memory_bytes=256_000_000, cpu_ms=1000, egress_bytes=0)
    calls = calls_of(both)
    assert (calls.retries, calls.egress_bytes) == (0, 0)
    assert set(calls.allowed_tools) == {("read_*",), ("read_all", "search")}


def test_what_is_in_force_is_said_by_the_keys_of_a_suite() -> None:
    own = limits(timeout_s=120.0, memory_mb=512)
    other = limits(memory_mb=256, retries=0, allowed_tools=[])
    assert in_force([own, other]) == {
        **{"timeout_s": 120.0, "answer_bytes": 1_000_000},
        **{"memory_mb": 256.0, "retries": 0, "allowed_tools": [[]]},
    }
    assert in_force([own]) == {"timeout_s": 120.0, "answer_bytes": 1_000_000, "memory_mb": 512.0}
