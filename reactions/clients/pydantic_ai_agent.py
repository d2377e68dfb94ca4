"""Pydantic AI: an agent with one tool, as its documentation writes one."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import anthropic
import openai
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from shop import ASKED, refunded

openai.AsyncOpenAI(api_key="x").chat.completions  # noqa: B018 - imported before the fork
openai.AsyncOpenAI(api_key="x").responses  # noqa: B018
anthropic.AsyncAnthropic(api_key="x").beta.messages  # noqa: B018
assert AnthropicModel and OpenAIChatModel and OpenAIResponsesModel


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("pydantic-ai-slim", "openai", "anthropic")}


def _run(model: str, told: dict[str, Any], reporter: Any) -> str:
    settings: Any = {"timeout": told["timeout_s"]} if told["timeout_s"] else {}
    agent = Agent(model, instructions="Be brief.", model_settings=settings)

    @agent.tool_plain
    def refund(order_id: str, cents: int = 100, note: str = "") -> str:
        """Refund an order."""
        reporter.ran(order_id=order_id, cents=cents, note=note)
        return refunded(order_id)

    return agent.run_sync(ASKED).output


def openai_chat(told: dict[str, Any], reporter: Any) -> str:
    return _run("openai-chat:gpt-4.1", told, reporter)


def openai_responses(told: dict[str, Any], reporter: Any) -> str:
    return _run("openai-responses:gpt-4.1", told, reporter)


def anthropic_messages(told: dict[str, Any], reporter: Any) -> str:
    return _run("anthropic:claude-sonnet-4-5", told, reporter)
