"""The tool behind the gateway: it remembers what it did, in the trial's state."""

from __future__ import annotations

from typing import Any

from proofrig.gateways.tool import ToolContext


def refund(context: ToolContext, order_id: str, cents: int = 100, note: str = "") -> dict[str, Any]:
    """Refund an order."""
    done = context.state.setdefault("done", [])
    done.append({"order_id": order_id, "cents": cents, "note": note})
    return {"order_id": order_id, "status": "refunded"}
