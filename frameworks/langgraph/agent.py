"""An agent on LangGraph (LangChain's create_agent), as its documentation writes one. It knows
nothing of proofrig: where its model is, it has from the environment.

FRAMEWORK_API: chat | responses | by_id (Responses, conversation held by the provider) | messages.
FRAMEWORK_CALL: run | stream | last (the last tool's result is the answer).
"""

from __future__ import annotations

import os
from typing import Any

from ground_truth import answered, did
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import ToolException
from langgraph.checkpoint.memory import InMemorySaver
from shop import ToolTrouble

API, CALL = os.environ.get("FRAMEWORK_API", ""), os.environ.get("FRAMEWORK_CALL", "")


@tool
async def list_orders(runtime: ToolRuntime) -> list[str]:
    """The open orders."""
    return await did("list_orders", runtime.tool_call_id or "")


@tool
async def lookup_order(order_id: str, runtime: ToolRuntime) -> str:
    """The state of an order."""
    try:
        return await did("lookup_order", runtime.tool_call_id or "", order_id=order_id)
    except ToolTrouble as trouble:
        raise ToolException(str(trouble)) from trouble


lookup_order.handle_tool_error = True


@tool(return_direct=CALL == "last")
async def quote(
    items: list[str], weights: list[float], express: bool, note: str, runtime: ToolRuntime
) -> dict[str, Any]:
    """What it costs to send items."""
    told = {"items": items, "weights": weights, "express": express, "note": note}
    return await did("quote", runtime.tool_call_id or "", **told)


def model() -> BaseChatModel:
    """The chat model of the API."""
    if API == "messages":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model="claude-sonnet-4-5")
    from langchain_openai import ChatOpenAI

    if API == "chat":
        return ChatOpenAI(model="gpt-4.1")
    by_id = API == "by_id"
    return ChatOpenAI(model="gpt-4.1", use_responses_api=True, use_previous_response_id=by_id)


async def run(messages: list[dict[str, str]]) -> str:
    """Take the user's messages one after the other; the last answer counts."""
    agent = create_agent(
        model(),
        tools=[list_orders, lookup_order, quote],
        system_prompt="Be brief.",
        checkpointer=InMemorySaver(),
    )
    thread: Any = {"configurable": {"thread_id": "1"}}
    answer = ""
    for message in messages:
        asked: Any = {"messages": [{"role": "user", "content": message["content"]}]}
        if CALL == "stream":
            async for _ in agent.astream(asked, thread, stream_mode="messages"):
                pass
            said = (await agent.aget_state(thread)).values["messages"]
        else:
            said = (await agent.ainvoke(asked, thread))["messages"]
        answer = said[-1].text
    return answered(answer, "langgraph")
