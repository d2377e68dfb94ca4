"""What frameworks report of their own accord."""

from __future__ import annotations

import pytest

from proofrig.gateways.egress.hosts import Place, pattern
from proofrig.gateways.egress.telemetry import DEFAULTS, Reporters, reporter


@pytest.mark.parametrize(
    ("host", "path", "meant"),
    [
        ("telemetry.crewai.com", None, True),
        ("telemetry.crewai.com", "/v1/traces", True),
        ("crewai.com", "/", False),
        ("o1.ingest.sentry.io", None, True),
        ("us.i.posthog.com", "/capture", True),
        ("api.smith.langchain.com", "/runs", True),
        ("api.openai.com", "/v1/traces/ingest", True),
        ("api.openai.com", "/v1/traces/ingestion", False),
        ("api.openai.com", "/v1/chat/completions", False),
        ("api.openai.com", None, False),  # inside a tunnel nobody knows
        ("raw.githubusercontent.com", "/BerriAI/litellm/main/prices.json", True),
        ("raw.githubusercontent.com", "/python/cpython/main/README.rst", False),
    ],
)
def test_defaults(host: str, path: str | None, meant: bool) -> None:
    assert Reporters().meant(Place(host, 443), path) is meant


def test_a_suite_adds_its_own() -> None:
    reporters = Reporters(["stats.example.com", "example.com/metrics*"])
    assert reporters.meant(Place("stats.example.com", 80))
    assert reporters.meant(Place("example.com", 80), "/metrics/x")
    assert not reporters.meant(Place("example.com", 80), "/orders")


def test_what_a_suite_allows_by_name_is_wanted() -> None:
    where = Place("o1.ingest.sentry.io", 443)
    assert not Reporters((), [pattern("*.sentry.io")]).meant(where)
    assert Reporters((), [pattern("*"), pattern("*:443")]).meant(where)


def test_each_default_is_read() -> None:
    assert len(DEFAULTS) == len(set(DEFAULTS))
    assert all(reporter(one).where.names for one in DEFAULTS)


def test_everything_is_no_place_to_report_to() -> None:
    with pytest.raises(ValueError, match="expected a host"):
        reporter("*/v1/traces")
