"""The OpenAI Agents SDK: an agent with one tool, as its documentation writes one."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import openai
from shop import ASKED, WHAT, refunded

from agents import Agent, Runner, function_tool, set_default_openai_client

openai.AsyncOpenAI(api_key="x").responses  # noqa: B018 - imported before the fork


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("openai-agents", "openai")}


def _agent(told: dict[str, Any], reporter: Any) -> Any:
    if told["timeout_s"]:
        client = openai.AsyncOpenAI(timeout=told["timeout_s"])
        set_default_openai_client(client, use_for_tracing=False)

    @function_tool(description_override=WHAT, strict_mode=False)
    def refund(order_id: str, cents: int = 100, note: str = "") -> str:
        reporter.ran(order_id=order_id, cents=cents, note=note)
        return refunded(order_id)

    return Agent(name="shop", instructions="Be brief.", model="gpt-4.1", tools=[refund])


def run(told: dict[str, Any], reporter: Any) -> str:
    return str(asyncio.run(Runner.run(_agent(told, reporter), ASKED)).final_output)


def run_streamed(told: dict[str, Any], reporter: Any) -> str:
    async def ask() -> Any:
        result = Runner.run_streamed(_agent(told, reporter), ASKED)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return str(asyncio.run(ask()))
