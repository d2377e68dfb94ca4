"""An agent on Pydantic AI, as its documentation writes one. It knows nothing of proofrig: where
its model is, it has from the environment.

FRAMEWORK_API: responses | by_id (Responses, conversation held by the provider) | chat | messages.
FRAMEWORK_CALL: run | events (run_stream_events) | stream (run_stream) | last (an output tool).
"""

from __future__ import annotations

import json
import os
from typing import Any

from ground_truth import answered, did
from pydantic_ai import Agent, ModelRetry, RunContext, ToolOutput
from pydantic_ai.messages import ModelMessage
from shop import ToolTrouble

API, CALL = os.environ.get("FRAMEWORK_API", ""), os.environ.get("FRAMEWORK_CALL", "")
MODELS = {
    "responses": "openai-responses:gpt-4.1",
    "by_id": "openai-responses:gpt-4.1",
    "chat": "openai-chat:gpt-4.1",
    "messages": "anthropic:claude-sonnet-4-5",
}


async def list_orders(context: RunContext[None]) -> list[str]:
    """The open orders."""
    return await did("list_orders", context.tool_call_id or "")


async def lookup_order(context: RunContext[None], order_id: str) -> str:
    """The state of an order."""
    try:
        return await did("lookup_order", context.tool_call_id or "", order_id=order_id)
    except ToolTrouble as trouble:
        raise ModelRetry(str(trouble)) from trouble


async def quote(
    context: RunContext[None], items: list[str], weights: list[float], express: bool, note: str
) -> dict[str, Any]:
    """What it costs to send items."""
    told = {"items": items, "weights": weights, "express": express, "note": note}
    return await did("quote", context.tool_call_id or "", **told)


def make_agent() -> Agent[None, Any]:
    """The agent of the variant."""
    settings: Any = {"openai_previous_response_id": "auto"} if API == "by_id" else {}
    last = CALL == "last"
    return Agent(
        MODELS[API],
        instructions="Be brief.",
        model_settings=settings,
        output_type=ToolOutput(quote, name="quote") if last else str,
        tools=[list_orders, lookup_order] if last else [list_orders, lookup_order, quote],
    )


async def ask(
    agent: Agent[None, Any], text: str, said: list[ModelMessage]
) -> tuple[Any, list[ModelMessage]]:
    """One message of the user; the answer, and all that was said."""
    if CALL == "stream":
        async with agent.run_stream(text, message_history=said) as stream:
            output = await stream.get_output()
        return output, stream.all_messages()
    if CALL == "events":
        async with agent.run_stream_events(text, message_history=said) as events:
            async for event in events:
                result = getattr(event, "result", None)
        return result.output, result.all_messages()
    done = await agent.run(text, message_history=said)
    return done.output, done.all_messages()


async def run(messages: list[dict[str, str]]) -> str:
    """Take the user's messages one after the other; the last answer counts."""
    agent = make_agent()
    said: list[ModelMessage] = []
    output: Any = ""
    for message in messages:
        output, said = await ask(agent, message["content"], said)
    answer = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return answered(answer, "pydantic-ai-slim")
