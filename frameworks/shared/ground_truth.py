"""What the agent really did, written down by the agent itself: the truth that a trajectory rebuilt
from LLM traffic is held against. Standard library only.

Rules:
1. A call is written down when it begins, with the arguments the function was given, and again when
   it ends: what a crash leaves is true.
2. Nothing here reads what models or gateways say.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shop import TOOLS, ToolTrouble

TRUTH = "truth.json"  # in the trial's world
_told: dict[str, Any] = {"calls": []}


async def did(tool: str, call_id: str, **arguments: Any) -> Any:
    """Carry out a tool and write it down. Raises ToolTrouble, as the tool does."""
    call = {"name": tool, "call_id": call_id, "arguments": arguments}
    _told["calls"].append(call)
    _write()
    try:
        call["result"] = await TOOLS[tool](**arguments)
    except ToolTrouble as trouble:
        call["error"] = str(trouble)
        raise
    finally:
        _write()
    return call["result"]


def answered(answer: str, distribution: str) -> str:
    """Write the final answer down, and by which version of the framework it was made."""
    _told.update(answer=answer, version=version(distribution))
    _write()
    return answer


def _write() -> None:
    Path(TRUTH).write_text(json.dumps(_told, ensure_ascii=False), encoding="utf-8")
