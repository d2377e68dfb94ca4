"""Real vendors by configuration: endpoints and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proofrig.errors import UsageError
from proofrig.providers import AnyProviderSettings, make_provider
from proofrig.providers.provider import Endpoint


def read(settings: dict[str, Any]) -> Any:
    return TypeAdapter[Any](AnyProviderSettings).validate_python(settings)


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("OUR_KEY", "sk-2")
    settings = read(
        {
            "provider": "upstream",
            "openai": {},
            "anthropic": {
                "base_url": "https://models.example/v1/",
                "key_env": "OUR_KEY",
                "connections": 20,
            },
        }
    )
    provider = make_provider(settings, Path(), seed=1)
    openai = Endpoint("https://api.openai.com/v1", "sk-1")
    assert await provider.start() == {
        "chat_completions": openai,
        "responses": openai,
        "messages": Endpoint("https://models.example/v1", "sk-2", 20),
    }
    await provider.close()


async def test_only_named_vendors_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-3")
    provider = make_provider(read({"provider": "upstream", "anthropic": {}}), Path(), seed=1)
    assert list(await provider.start()) == ["messages"]


async def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OTHER", "")
    settings = read({"provider": "upstream", "openai": {}, "anthropic": {"key_env": "OTHER"}})
    with pytest.raises(UsageError, match="OPENAI_API_KEY and OTHER"):
        await make_provider(settings, Path(), seed=1).start()


@pytest.mark.parametrize(
    "settings",
    [
        {"provider": "upstream"},
        {"provider": "elsewhere"},
        {"openai": {}},
        {"provider": "upstream", "openai": {"key": "sk-secret"}},
        {"provider": "upstream", "openai": {"base_url": "api.openai.com"}},
        {"provider": "simulated", "script": "a.yaml", "function": "a:b"},
        {"provider": "simulated", "function": "a.b"},
        {"provider": "simulated", "limits": {"rpm": 5}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(settings)
