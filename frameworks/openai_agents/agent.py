"""An agent on the OpenAI Agents SDK, as its documentation writes one. It knows nothing of
proofrig: where its model is, it has from the environment.

FRAMEWORK_API: responses | chat | by_id (Responses, conversation held by the provider).
FRAMEWORK_CALL: run | stream | last (the last tool's result is the answer).
"""

from __future__ import annotations

import os
from typing import Any

from agents.tool_context import ToolContext
from ground_truth import answered, did

from agents import (
    Agent,
    RunContextWrapper,
    Runner,
    StopAtTools,
    TResponseInputItem,
    function_tool,
    set_default_openai_api,
)

API, CALL = os.environ.get("FRAMEWORK_API", ""), os.environ.get("FRAMEWORK_CALL", "")


@function_tool
async def list_orders(context: ToolContext[Any]) -> list[str]:
    """The open orders."""
    return await did("list_orders", context.tool_call_id)


def told(context: RunContextWrapper[Any], error: Exception) -> str:
    """What the model hears of a failure; the default hides the tool's words."""
    return f"failed: {error}"


@function_tool(failure_error_function=told)
async def lookup_order(context: ToolContext[Any], order_id: str) -> str:
    """The state of an order."""
    return await did("lookup_order", context.tool_call_id, order_id=order_id)


@function_tool
async def quote(
    context: ToolContext[Any], items: list[str], weights: list[float], express: bool, note: str
) -> dict[str, Any]:
    """What it costs to send items."""
    asked = {"items": items, "weights": weights, "express": express, "note": note}
    return await did("quote", context.tool_call_id, **asked)


async def run(messages: list[dict[str, str]]) -> str:
    """Take the user's messages one after the other; the last answer counts."""
    if API == "chat":
        set_default_openai_api("chat_completions")
    ends = StopAtTools(stop_at_tool_names=["quote"]) if CALL == "last" else "run_llm_again"
    agent = Agent(
        name="shop",
        instructions="Be brief.",
        model="gpt-4.1",
        tools=[list_orders, lookup_order, quote],
        tool_use_behavior=ends,
    )
    said: list[TResponseInputItem] = []
    before: str | None = None
    answer = ""
    for message in messages:
        new: list[TResponseInputItem] = [{"role": "user", "content": message["content"]}]
        by_id: dict[str, Any] = {}
        if API == "by_id":
            by_id = {"auto_previous_response_id": True, "previous_response_id": before}
        asked = new if API == "by_id" else [*said, *new]
        if CALL == "stream":
            result: Any = Runner.run_streamed(agent, asked, **by_id)
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(agent, asked, **by_id)
        said, before = result.to_input_list(), result.last_response_id
        answer = str(result.final_output)
    return answered(answer, "openai-agents")
