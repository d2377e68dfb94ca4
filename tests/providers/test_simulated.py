"""The provider as its caller sees it: settings, start, what goes wrong."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from proofrig.errors import ProviderError, SuiteError, UsageError
from proofrig.providers import SimulatedSettings, make_provider
from proofrig.providers.simulated import Connections, ModelSettings


def test_settings_for_models_are_found_by_glob_first_one_first() -> None:
    settings = SimulatedSettings.model_validate(
        {"models": {"gpt-4*": {"mistakes": 2}, "gpt-*": {"mistakes": 3}}, "connections": 40}
    )
    assert settings.of("gpt-4o").mistakes == 2
    assert settings.of("gpt-5").mistakes == 3
    assert settings.of("claude") == ModelSettings()
    assert settings.connections == Connections(busy_above=40)


@pytest.mark.parametrize(
    ("connections", "fits"),
    [
        (40, True),
        ({"busy_above": 40, "refuse_above": 80}, True),
        (0, False),
        (True, False),
        ("40", False),
        ({"busy": 40}, False),
    ],
)
def test_the_schema_takes_what_the_model_takes(connections: object, fits: bool) -> None:
    written = {"connections": connections}
    validator = Draft202012Validator(SimulatedSettings.model_json_schema())
    assert validator.is_valid(written) == fits
    with nullcontext() if fits else pytest.raises(ValidationError):
        SimulatedSettings.model_validate(written)


async def test_it_serves_the_three_apis_at_one_address(tmp_path: Path) -> None:
    provider = make_provider(SimulatedSettings(), tmp_path, seed=1)
    endpoints = await provider.start()
    await provider.close()
    assert set(endpoints) == {"chat_completions", "responses", "messages"}
    assert len({endpoint.base_url for endpoint in endpoints.values()}) == 1
    assert all(endpoint.simulated and endpoint.key for endpoint in endpoints.values())
    await provider.close()  # a second time does nothing


def test_a_broken_script_is_found_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("rules:\n  - sya: x\n")
    with pytest.raises(SuiteError, match=r"model\.yaml:2:5: .*`sya`"):
        make_provider(SimulatedSettings(script="model.yaml"), tmp_path, seed=1)


async def test_a_broken_function_is_named_when_it_starts(tmp_path: Path) -> None:
    (tmp_path / "quits.py").write_text("import os\nos._exit(9)\n")
    gone = make_provider(SimulatedSettings(function="not_there:x"), tmp_path, seed=1)
    with pytest.raises(UsageError, match="expected a module 'not_there'"):
        await gone.start()
    quits = make_provider(SimulatedSettings(function="quits:x"), tmp_path, seed=1)
    with pytest.raises(ProviderError, match="exit code 9"):
        await quits.start()
