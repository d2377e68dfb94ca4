"""What vendors' headers say."""

from __future__ import annotations

import pytest

from proofrig.gateways.rate_headers import drained, told_wait

NOW = 1_750_000_000.0  # 2025-06-15T15:06:40Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Sun, 15 Jun 2025 15:07:10 GMT"}, 30.0),
        (
            {
                "retry-after": "Sun, 15 Jun 2025 15:07:10 GMT",
                "date": "Sun, 15 Jun 2025 15:07:05 GMT",
            },
            5.0,
        ),
        ({"retry-after": "Sun, 15 Jun 2025 15:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-4"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 01 Jan 99999999999 00:00:00 GMT"}, None),
        ({"retry-after": "1 Jan 2026 00:00:00 +99999999999999999999999"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert told_wait(headers, NOW) == seconds


def openai(remaining: str, reset: str, limit: str = "60", unit: str = "requests") -> dict[str, str]:
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{what}-{unit}": value for what, value in said.items()}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        (openai("12", "6m0s"), 0.0),
        (openai("0", "1m0s"), 1.0),
        (openai("0", "6m0.5s", limit="1"), 360.5),
        (openai("0", "120ms", limit="10"), 0.012),
        (openai("0", "60"), 1.0),
        (openai("0", "presently"), 0.0),
        (openai("0", "1h"), 60.0),
        (openai("0", "30s") | openai("0", "120s", unit="tokens"), 2.0),
        (
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2025-06-15T15:07:30Z",
            },
            1.0,
        ),
    ],
)
def test_when_nothing_remains_there_is_room_for_one_after_a_share_of_the_reset(
    headers: dict[str, str], seconds: float
) -> None:
    assert drained(headers, NOW) == pytest.approx(seconds)
