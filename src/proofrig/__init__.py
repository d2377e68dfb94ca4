"""proofrig: the test rig that runs AI agents the way production will.

The public list. Names are loaded on first use, so that `import proofrig` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proofrig.conclusion import Conclusion, ExitCode, Options
    from proofrig.evaluation import resume, run
    from proofrig.gateways.tool import ToolContext
    from proofrig.history.action import Action, Entry
    from proofrig.history.history import Fold, History
    from proofrig.providers.prompt import Prompt, Reply
    from proofrig.rescore import rescore
    from proofrig.results import Row, Score, Summary
    from proofrig.suites import Case, Suite, World, load_suite
    from proofrig.verifiers.verifier import Evidence, Verdict, Verifier
    from proofrig.wire.trajectory import Call, Trajectory
    from proofrig.wire.turn import Message, ToolCall, ToolResult, Turn, Usage

_HOMES = {
    "proofrig.conclusion": ("Conclusion", "ExitCode", "Options"),
    "proofrig.evaluation": ("resume", "run"),
    "proofrig.gateways.tool": ("ToolContext",),
    "proofrig.history.action": ("Action", "Entry"),
    "proofrig.history.history": ("Fold", "History"),
    "proofrig.providers.prompt": ("Prompt", "Reply"),
    "proofrig.rescore": ("rescore",),
    "proofrig.results": ("Row", "Score", "Summary"),
    "proofrig.suites": ("Case", "Suite", "World", "load_suite"),
    "proofrig.verifiers.verifier": ("Evidence", "Verdict", "Verifier"),
    "proofrig.wire.trajectory": ("Call", "Trajectory"),
    "proofrig.wire.turn": ("Message", "ToolCall", "ToolResult", "Turn", "Usage"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Action",
    "Call",
    "Case",
    "Conclusion",
    "Entry",
    "Evidence",
    "ExitCode",
    "Fold",
    "History",
    "Message",
    "Options",
    "Prompt",
    "Reply",
    "Row",
    "Score",
    "Suite",
    "Summary",
    "ToolCall",
    "ToolContext",
    "ToolResult",
    "Trajectory",
    "Turn",
    "Usage",
    "Verdict",
    "Verifier",
    "World",
    "load_suite",
    "rescore",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'proofrig' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
