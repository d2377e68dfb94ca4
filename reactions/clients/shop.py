"""What every client asks, and the one tool that it has. Standard library only."""

from __future__ import annotations

from typing import Any

ASKED = "Refund order ORD-7, please."
NAME = "refund"
WHAT = "Refund an order."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string"},
        "cents": {"type": "integer", "default": 100},
        "note": {"type": "string", "default": ""},
    },
    "required": ["order_id"],
}
_FUNCTION = {"name": NAME, "description": WHAT, "parameters": SCHEMA}
CHAT_TOOLS: list[dict[str, Any]] = [{"type": "function", "function": _FUNCTION}]
RESPONSES_TOOLS: list[dict[str, Any]] = [{"type": "function", "strict": False, **_FUNCTION}]
MESSAGES_TOOLS: list[dict[str, Any]] = [{"name": NAME, "description": WHAT, "input_schema": SCHEMA}]


def refunded(order_id: str) -> str:
    """What the tool gives back."""
    return f"refunded {order_id}"
