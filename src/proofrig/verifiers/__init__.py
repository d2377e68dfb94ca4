"""How the world a trial left behind is judged.

`VERIFIERS` maps the name written under `type:` to its class; `AnyVerifier` is their union, told
apart by `type`, for use in a pydantic model. Both are built on first use and include the verifiers
that other packages register under `proofrig.verifiers`.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from proofrig.plugins import classes
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier, judge

OWN = {
    "exact": "proofrig.verifiers.exact:Exact",
    "contains": "proofrig.verifiers.contains:Contains",
    "regex": "proofrig.verifiers.regex:Regex",
    "numeric": "proofrig.verifiers.numeric:Numeric",
    "json_schema": "proofrig.verifiers.json_schema:JsonSchema",
    "json_subset": "proofrig.verifiers.json_subset:JsonSubset",
    "file_state": "proofrig.verifiers.file_state:FileState",
    "command": "proofrig.verifiers.command:CommandCheck",
    "sql_state": "proofrig.verifiers.sql_state:SqlState",
    "trajectory": "proofrig.verifiers.trajectory:TrajectoryMatch",
    "claim": "proofrig.verifiers.claim:Claim",
    "protected_paths": "proofrig.verifiers.protected_paths:ProtectedPaths",
    "python": "proofrig.verifiers.python:PythonCheck",
}

__all__ = ["VERIFIERS", "AnyVerifier", "Evidence", "Verdict", "Verifier", "judge"]

if TYPE_CHECKING:
    VERIFIERS: dict[str, type[Verifier]]
    AnyVerifier = Verifier


def __getattr__(name: str) -> Any:
    if name == "VERIFIERS":
        return _verifiers()
    if name == "AnyVerifier":
        union = functools.reduce(operator.or_, _verifiers().values())
        return Annotated[union, Field(discriminator="type")]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _verifiers() -> dict[str, type[Verifier]]:
    """Every verifier by name. Raises UsageError when two claim a name or one is no verifier."""
    return classes("verifiers", OWN, Verifier, "type")
