"""Clients that call a tool twice, for two orders: plain HTTP, and the official MCP SDK."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import httpx
import requests
from mcp import Client

ORDERS = ("ORD-7", "ORD-8")


class ToolTold(Exception):
    """The tool said, in a result, that it failed."""


def versions() -> dict[str, str]:
    return {name: version(name) for name in ("requests", "httpx", "mcp")}


def _timeout(told: dict[str, Any]) -> dict[str, Any]:
    return {"timeout": told["timeout_s"]} if told["timeout_s"] else {}


def _arguments(order: str) -> dict[str, Any]:
    return {"order_id": order, "cents": 2500}


def _read(result: Any) -> str:
    return f"{result['status']} {result['order_id']}"


def _both(told: dict[str, Any], call: Callable[[str], str]) -> str:
    """The two calls, one after the other or at once; the results in the order of the orders."""
    if not told["at_once"]:
        return ", ".join([call(order) for order in ORDERS])
    with ThreadPoolExecutor() as threads:
        return ", ".join(threads.map(call, ORDERS))


def over_requests(told: dict[str, Any], reporter: Any) -> str:
    def call(order: str) -> str:
        url = f"{os.environ['PROOFRIG_TOOLS_URL']}/refund"
        answer = requests.post(url, json=_arguments(order), **_timeout(told))
        answer.raise_for_status()
        return _read(answer.json()["result"])

    return _both(told, call)


def over_httpx(told: dict[str, Any], reporter: Any) -> str:
    with httpx.Client(base_url=os.environ["PROOFRIG_TOOLS_URL"], **_timeout(told)) as client:

        def call(order: str) -> str:
            answer = client.post("/refund", json=_arguments(order))
            answer.raise_for_status()
            return _read(answer.json()["result"])

        return _both(told, call)


def over_mcp(told: dict[str, Any], reporter: Any) -> str:
    timeout = {"read_timeout_seconds": told["timeout_s"]} if told["timeout_s"] else {}
    url = os.environ["PROOFRIG_TOOLS_URL"].replace("/tools", "/mcp/tools")

    async def ask() -> str:
        async with Client(url) as client:

            async def call(order: str) -> str:
                result = await client.call_tool("refund", _arguments(order), **timeout)
                if result.is_error:
                    raise ToolTold(str(result.content)[:200])
                return _read(result.structured_content)

            if told["at_once"]:
                return ", ".join(await asyncio.gather(*map(call, ORDERS)))
            return ", ".join([await call(order) for order in ORDERS])

    return asyncio.run(ask())
