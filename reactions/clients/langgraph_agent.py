"""LangGraph (LangChain's create_agent): an agent with one tool, as its documentation writes one."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from shop import ASKED, refunded

ChatOpenAI(model="gpt-4.1", api_key="x")
ChatAnthropic(model="claude-sonnet-4-5", api_key="x")


def versions() -> dict[str, str]:
    names = ("langgraph", "langchain", "langchain-openai", "langchain-anthropic")
    return {name: version(name) for name in (*names, "openai", "anthropic")}


def _agent(told: dict[str, Any], reporter: Any, kind: Any, model: str) -> Any:
    timeout = {"timeout": told["timeout_s"]} if told["timeout_s"] else {}

    @tool
    def refund(order_id: str, cents: int = 100, note: str = "") -> str:
        """Refund an order."""
        reporter.ran(order_id=order_id, cents=cents, note=note)
        return refunded(order_id)

    return create_agent(kind(model=model, **timeout), tools=[refund], system_prompt="Be brief.")


def _invoke(agent: Any) -> str:
    said = agent.invoke({"messages": [{"role": "user", "content": ASKED}]})
    return str(said["messages"][-1].text)


def _stream(agent: Any) -> str:
    """What a user reads in a chat window: the model's text of the last step, as it comes."""
    texts: dict[str, str] = {}
    asked = {"messages": [{"role": "user", "content": ASKED}]}
    for chunk, about in agent.stream(asked, stream_mode="messages"):
        if about.get("langgraph_node") == "model":
            step = str(about["langgraph_step"])
            texts[step] = texts.get(step, "") + str(chunk.text)
    return list(texts.values())[-1] if texts else ""


def openai_invoke(told: dict[str, Any], reporter: Any) -> str:
    return _invoke(_agent(told, reporter, ChatOpenAI, "gpt-4.1"))


def openai_stream(told: dict[str, Any], reporter: Any) -> str:
    return _stream(_agent(told, reporter, ChatOpenAI, "gpt-4.1"))


def anthropic_invoke(told: dict[str, Any], reporter: Any) -> str:
    return _invoke(_agent(told, reporter, ChatAnthropic, "claude-sonnet-4-5"))


def anthropic_stream(told: dict[str, Any], reporter: Any) -> str:
    return _stream(_agent(told, reporter, ChatAnthropic, "claude-sonnet-4-5"))
