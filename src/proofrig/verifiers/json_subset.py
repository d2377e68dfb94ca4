"""`json_subset`: the answer, a file of the world, or the tools' state holds an expected value.

Rules:
1. Every expected key must be there with its value, at any depth; further keys are free.
2. Lists meet item by item; `lists: unordered` lets the order go, `lists: subset` also lets
   further items be there. Each expected item needs an item of its own.
3. 1 is 1.0; `tolerance` is absolute and holds for every number.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from proofrig.verifiers._json import JsonVerifier
from proofrig.verifiers._values import Lists, difference, show
from proofrig.verifiers.verifier import Evidence


class JsonSubset(JsonVerifier):
    """The JSON holds `value`. `file`: judge this file of the world, not the answer; `of: state`:
    judge what the tools left."""

    type: Literal["json_subset"] = "json_subset"
    value: Any
    lists: Lists = "ordered"
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def expected(self) -> str:
        return f"JSON that holds {show(self.value)}"

    def wrong(self, found: Any, evidence: Evidence) -> str:
        return difference(self.value, found, self.lists, self.tolerance) or ""
