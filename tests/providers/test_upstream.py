"""Real vendors by configuration: endpoints and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proofrig.errors import UsageError
from proofrig.providers import AnyProviderSettings, make_provider
from proofrig.providers.provider import Ceilings, Endpoint


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
    openai = Endpoint("https://api.openai.com/v1", "sk-1", ceilings=Ceilings())
    assert await provider.start() == {
        "chat_completions": openai,
        "responses": openai,
        "messages": Endpoint("https://models.example/v1", "sk-2", 20, ceilings=Ceilings()),
    }
    await provider.close()


async def test_each_vendor_has_its_own_place_key_and_ceilings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GROQ_KEY", "gsk-1")
    settings = read(
        {
            "provider": "upstream",
            "openai": {
                "base_url": "https://api.groq.com/openai/v1",
                "key_env": "GROQ_KEY",
                "requests_per_minute": 30,
                "tokens_per_minute": 6000,
                "on_throttle": "fail_fast",
                "max_wait_s": 20,
            },
            "anthropic": {"base_url": "http://127.0.0.1:8080/v1", "key_env": ""},
        }
    )
    ceilings = Ceilings(30, 6000, "fail_fast", 20.0)
    groq = Endpoint("https://api.groq.com/openai/v1", "gsk-1", ceilings=ceilings)
    assert await make_provider(settings, Path(), seed=1).start() == {
        "chat_completions": groq,
        "responses": groq,
        "messages": Endpoint("http://127.0.0.1:8080/v1", "", ceilings=Ceilings()),
    }


async def test_a_server_without_a_key_needs_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    local = {"base_url": "http://localhost:11434/v1", "key_env": ""}
    endpoints = await make_provider(
        read({"provider": "upstream", "openai": local}), Path(), seed=1
    ).start()
    assert endpoints["chat_completions"].key == ""


@pytest.mark.parametrize("key", ["sk-1\n", " sk-1", "sk-\u00e4", "sk-1\r\nx-evil: 1"])
async def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as refused:
        await make_provider(read({"provider": "upstream", "openai": {}}), Path(), seed=1).start()
    assert "sk-" not in str(refused.value)


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
        {"provider": "upstream", "openai": {"base_url": "https://me:secret@models.example/v1"}},
        {"provider": "upstream", "openai": {"key_env": "sk-proj-1234"}},
        {"provider": "upstream", "openai": {"requests_per_minute": -1}},
        {"provider": "upstream", "openai": {"on_throttle": "retry"}},
        {"provider": "upstream", "openai": {"max_wait_s": 0}},
        {"provider": "simulated", "script": "a.yaml", "function": "a:b"},
        {"provider": "simulated", "function": "a.b"},
        {"provider": "simulated", "limits": {"rpm": 5}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(settings)
