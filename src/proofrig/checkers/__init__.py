"""Checkers: one file each, from a history to a verdict with evidence."""

from __future__ import annotations

from importlib import import_module

from proofrig.checkers.checker import Checker
from proofrig.errors import UsageError
from proofrig.plugins import Member, find

# In the order in which they are shown. Each module holds one class of the same name in CamelCase.
MODULES = (
    *("launch", "burst", "tenant_bleed", "lost_update", "lost_write", "key_collision"),
    *("dirty_read", "stale_read", "retry_amplification", "synchronised_retries"),
    *("tenant_exhaustion", "pool_starvation", "deadlock", "lock_order", "lock_release"),
    *("stale_holder", "torn_write", "stale_result", "leftover_state", "topology"),
    *("faults_fired", "duplicate_effects", "partial_as_complete"),
    *("runaway_loop", "call_flood", "free_commit", "signature_drift", "fan_out", "hand_off"),
)


def _class(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))


OWN = {name: f"proofrig.checkers.{name}:{_class(name)}" for name in MODULES}
CHECKERS: tuple[type[Checker], ...] = tuple(
    getattr(import_module(f"proofrig.checkers.{name}"), _class(name)) for name in MODULES
)


def all_checkers() -> tuple[type[Checker], ...]:
    """Those that come with proofrig, then those that other packages add by an entry point of the
    group `proofrig.checkers`. Raises UsageError for one that cannot be used."""
    added = [member for name, member in find("checkers", OWN).items() if name not in OWN]
    return (*CHECKERS, *(_checked(member) for member in added))


def _checked(member: Member) -> type[Checker]:
    found: type[Checker] = member.load()
    lacks = [name for name in ("reads", "notes", "timing", "result") if not hasattr(found, name)]
    if lacks or getattr(found, "name", None) != member.name:
        why = f"it lacks {', '.join(lacks)}" if lacks else f"its name is not {member.name!r}"
        raise UsageError(
            f"expected a class like proofrig.checkers.checker.Checker: {why}: {member}"
        )
    return found
