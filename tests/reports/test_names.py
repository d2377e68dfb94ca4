"""Names in, what people call them out."""

from __future__ import annotations

import pytest

from proofrig.reports.names import named


@pytest.mark.parametrize(
    ("name", "title", "unit", "better"),
    [
        ("accuracy", "Pass rate", "share", "higher"),
        ("pass_hat_4", "pass^4", "share", "higher"),
        ("pass_at_k", "pass@k", "share", "higher"),
        ("pass^4", "pass^4", "", ""),
        ("cost_per_trial", "Cost of a trial", "USD", "lower"),
        ("tokens", "Tokens", "tokens", "lower"),
        ("duration_p95", "Duration of a trial, p95", "ns", "lower"),
        ("p50(duration)", "Duration of a trial, median", "ns", "lower"),
        ("p99.9(latency)", "Latency, p99.9", "ns", "lower"),
        ("pool_wait_p99_ms", "Pool wait, p99", "ns", "lower"),
        ("burst:tool_429_rate", "Tool calls answered 429 (burst)", "share", "lower"),
        ("burst:p99(pool_wait)", "Pool wait, p99 (burst)", "ns", "lower"),
        ("amplification:llm", "Retry amplification (llm)", "ratio", "lower"),
        ("goodput:kv:acme", "Goodput (kv:acme)", "share", "higher"),
        ("measure:my_own", "My own", "", ""),
        ("nobody_knows", "Nobody knows", "", ""),
        ("a\x1b[31m\nb", "A�[31m b", "", ""),
    ],
)
def test_a_name_has_a_title_a_unit_and_a_better_side(
    name: str, title: str, unit: str, better: str
) -> None:
    found = named(name)
    assert (found.title, found.unit, found.better) == (title, unit, better)


def test_a_scenario_is_said_with_it() -> None:
    assert named("leak_rate", "tenant_probe").title == "Leak rate (tenant_probe)"
    assert named("goodput:kv", "burst").title == "Goodput (kv, burst)"


def test_numbers_are_written_in_the_unit_of_the_figure() -> None:
    assert named("pool_wait_p99_ms").said(250.0) == "250 ms"
    assert named("p99(pool_wait)").said(2.5e8) == "250 ms"
    assert named("accuracy").said(0.8) == "80.0 %"
    assert named("cost_per_trial").said(0.000652) == "$0.000652"
    assert named("amplification").said(1.5) == "1.50×"
    assert named("accuracy").said(None) == "not measured"
