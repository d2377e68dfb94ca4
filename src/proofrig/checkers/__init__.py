"""Checkers: one file each, from a history to a verdict with evidence."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from proofrig.checkers.checker import Checker

# In the order in which they are shown. Each module holds one class of the same name in CamelCase.
MODULES = (
    *("launch", "burst", "tenant_bleed", "lost_update", "lost_write", "key_collision"),
    *("dirty_read", "stale_read", "retry_amplification", "synchronised_retries"),
    *("tenant_exhaustion", "pool_starvation", "deadlock", "lock_order", "lock_release"),
    *("stale_holder", "torn_write", "stale_result", "leftover_state", "topology"),
)


def _load(module: str) -> type[Checker]:
    name = "".join(word.capitalize() for word in module.split("_"))
    found: type[Checker] = getattr(import_module(f"proofrig.checkers.{module}"), name)
    return found


CHECKERS: tuple[type[Checker], ...] = tuple(
    _load(module) for module in MODULES if (Path(__file__).parent / f"{module}.py").is_file()
)
