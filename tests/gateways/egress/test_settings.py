"""What a suite may say, and what it is told when it says it wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.gateways.egress.settings import EgressSettings


def test_by_default_everything_passes_and_nothing_is_read() -> None:
    settings = EgressSettings()
    assert settings.enabled and settings.allow == ("*",)
    assert (settings.intercept, settings.telemetry, settings.max_bytes) == ((), (), None)
    assert settings.unattributed == "refuse"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"allow": ["https://example.com"]}, "expected a host such as api.example.com"),
        ({"intercept": ["a/b"]}, "leave scheme and path out"),
        ({"telemetry": ["*"]}, "expected a host, or one with a path"),
        ({"max_bytes": -1}, "greater than or equal to 0"),
        ({"max_bytes": "1MB"}, "valid integer"),
        ({"alow": ["*"]}, "Extra inputs are not permitted"),
        ({"allow": ["a.com"], "intercept": ["b.com"]}, "`intercept` names b.com, which `allow`"),
        ({"unattributed": "maybe"}, "'refuse' or 'pass'"),
    ],
)
def test_what_is_wrong_is_said(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        EgressSettings(**written)


@pytest.mark.parametrize(
    "written",
    [
        {"allow": ["a.com"], "intercept": ["api.openai.com"]},  # the rig answers it
        {"allow": ["a.com:8443"], "intercept": ["a.com"]},
        {"allow": ["*.a.com"], "intercept": ["api.a.com"]},
        {"allow": [], "intercept": []},
    ],
)
def test_what_fits_is_taken(written: dict[str, Any]) -> None:
    assert EgressSettings(**written)
