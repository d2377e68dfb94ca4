"""Faults of real infrastructure: one file each, what is done to the calls of agents and to what
surrounds them.

`FAULTS` maps the name written under `kind:` to its class; `AnyFault` is their union, told apart by
`kind`, for use in a pydantic model. Both are built on first use and include the faults that other
packages register under `proofrig.faults`. `Injector` puts them upon calls.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from proofrig.faults.fault import Fault
from proofrig.plugins import classes

# In the order in which they are shown. Each module holds one class of the same name in CamelCase.
MODULES: tuple[str, ...] = (
    *("latency", "slow_first_token", "stall", "trickle"),
    *("reset", "close_early", "drop_terminal", "truncated_body", "partial_response"),
    *("duplicate_events", "reordered_events", "malformed_utf8", "split_utf8"),
    *("rate_limit", "http_error", "token_expiry", "html_page", "error_object"),
    *("empty_result", "wrong_shape", "truncated_arguments", "schema_drift"),
    *("stale_result", "huge_result", "late_result", "reordered_results", "duplicate_delivery"),
    *("pool_hold", "kill", "pause", "lock_expiry", "cache_flush"),
)

__all__ = ["FAULTS", "MODULES", "AnyFault", "Fault"]

if TYPE_CHECKING:
    FAULTS: dict[str, type[Fault]]
    AnyFault = Fault


def _class(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))


OWN = {name: f"proofrig.faults.{name}:{_class(name)}" for name in MODULES}


def __getattr__(name: str) -> Any:
    if name == "FAULTS":
        return _faults()
    if name == "AnyFault":
        union = functools.reduce(operator.or_, _faults().values())
        return Annotated[union, Field(discriminator="kind")] if len(_faults()) > 1 else union
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _faults() -> dict[str, type[Fault]]:
    """Every fault by name. Raises UsageError when two claim a name or one is no fault."""
    return classes("faults", OWN, Fault, "kind")
