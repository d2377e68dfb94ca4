"""The tools every framework's agent has: a small shop. Standard library only.

Rules:
1. What a tool gets and gives is of every JSON kind: text with quotes and line breaks, lists,
   numbers with a fraction, truth values, nested objects, no arguments at all.
2. The first order of a pair is the slower one, so that results come back out of order.
"""

from __future__ import annotations

import asyncio
from typing import Any


class ToolTrouble(Exception):
    """A tool refuses what it was asked; its text is for the model."""


async def list_orders() -> list[str]:
    """The open orders."""
    return ["ORD-100", "ORD-200", "ORD-300"]


async def lookup_order(order_id: str) -> str:
    """The state of an order."""
    if not order_id.startswith("ORD-"):
        raise ToolTrouble(f"there is no order {order_id!r}; ids begin with ORD-")
    await asyncio.sleep(0.05 if order_id.endswith("0") else 0)
    return f'{order_id} is "on its way"\nto Zürich 🚚'


async def quote(items: list[str], weights: list[float], express: bool, note: str) -> dict[str, Any]:
    """What it costs to send items."""
    cents = round(sum(weights) * 130) + 900 * express
    lines = [{"item": item, "kg": kg} for item, kg in zip(items, weights, strict=True)]
    return {"price_cents": cents, "lines": lines, "note": note, "discount": None}


TOOLS = {"list_orders": list_orders, "lookup_order": lookup_order, "quote": quote}
