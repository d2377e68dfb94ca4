"""A recording in the place of a provider: what a suite may say of it, and its endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.providers.recorded import RecordedProvider, RecordedSettings, pace_of


@pytest.mark.parametrize(
    ("text", "pace"), [("instant", 0.0), ("recorded", 1.0), ("0.5", 0.5), ("2", 2.0), ("0", 0.0)]
)
def test_paces(text: str, pace: float) -> None:
    assert pace_of(text) == pace


@pytest.mark.parametrize("text", ["fast", "-1", "", "nan", "inf", "1001"])
def test_what_is_no_pace_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected instant, recorded, or a factor"):
        pace_of(text)


def test_a_cassette_is_seen_from_the_suite() -> None:
    settings = RecordedSettings(cassette="tapes/one")
    assert settings.at(Path("/suite")) == Path("/suite/tapes/one")
    assert RecordedSettings(cassette="/tapes/one").at(Path("/suite")) == Path("/tapes/one")
    assert (settings.mode, settings.timing, settings.tools) == ("strict", "instant", "remote")


@pytest.mark.parametrize(
    "wrong",
    [{"cassette": ""}, {"mode": "loose"}, {"timing": "fast"}, {"tools": "some"}, {"speed": 2}],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RecordedSettings(**({"cassette": "tape"} | wrong))


async def test_its_endpoints_are_of_every_api_and_lead_nowhere() -> None:
    provider = RecordedProvider(simulated=True)
    endpoints = await provider.start()
    assert set(endpoints) == {"chat_completions", "responses", "messages"}
    assert {(one.base_url, one.simulated, one.key) for one in endpoints.values()} == {
        ("http://127.0.0.1:1/v1", True, "")
    }
    assert provider.lost() == ""
    await provider.close()
