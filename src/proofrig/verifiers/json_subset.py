"""`json_subset`: the answer, or a file of the world, is JSON that holds an expected value.

Rules:
1. Every expected key must be there with its value, at any depth; further keys are free.
2. Lists meet item by item; `lists: unordered` lets the order go, `lists: subset` also lets
   further items be there. Each expected item needs an item of its own.
3. 1 is 1.0; `tolerance` is absolute and holds for every number.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from proofrig.verifiers._values import Lists, difference, read_json, show
from proofrig.verifiers._world import Unreadable, answer_or_file, relative
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier


class JsonSubset(Verifier):
    """The JSON holds `value`. `file`: judge this file of the world, not the answer."""

    type: Literal["json_subset"] = "json_subset"
    value: Any
    lists: Lists = "ordered"
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    file: str = ""

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return relative(file) if file else file

    def needs(self) -> frozenset[str]:
        return frozenset({"world"} if self.file else ())

    def verify(self, evidence: Evidence) -> Verdict:
        expected = f"JSON that holds {show(self.value)}"
        try:
            text = answer_or_file(evidence, self.file)
        except Unreadable as error:
            return self.verdict(False, expected=expected, got=str(error))
        found, reason = read_json(text)
        if reason:
            return self.verdict(False, expected=expected, got=show(text), why=reason)
        why = difference(self.value, found, self.lists, self.tolerance)
        return self.verdict(why is None, expected=expected, got=show(found), why=why or "")
