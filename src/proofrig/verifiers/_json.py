"""What verifiers of one JSON value share: where it stands, and what is said when it is not there.

Rules:
1. It is the answer, a `file` of the world, or (`of: state`) what the suite's tools left.
2. What the agent left out or broke fails; a state that was never kept is not measured.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from proofrig.verifiers._values import read_json, show
from proofrig.verifiers._world import Unreadable, answer_or_file, relative
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier


class JsonVerifier(Verifier):
    """Judges a JSON value. A member adds what it expects, and says what is `wrong`."""

    of: Literal["answer", "state"] = "answer"
    file: str = ""

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return relative(file) if file else file

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.file and self.of == "state":
            raise ValueError("expected `file` or `of: state`, got both; keep one")
        return self

    def needs(self) -> frozenset[str]:
        if self.of == "state":
            return frozenset({"state"})
        return frozenset({"world"} if self.file else ())

    def expected(self) -> str:
        """What the value should be, in words."""
        raise TypeError(f"{type(self).__name__} has no expected()")

    def wrong(self, found: Any, evidence: Evidence) -> str:
        """What is wrong with the value, or ""."""
        raise TypeError(f"{type(self).__name__} has no wrong()")

    def verify(self, evidence: Evidence) -> Verdict:
        expected, found = self.expected(), evidence.state
        if self.of == "answer":
            try:
                text = answer_or_file(evidence, self.file)
            except Unreadable as error:
                return self.verdict(False, expected=expected, got=str(error))
            found, reason = read_json(text)
            if reason:
                return self.verdict(False, expected=expected, got=show(text), why=reason)
        elif found is None:
            reason = evidence.context.get("no_state") or "the case gave none"
            return self.verdict(None, expected=expected, got="no state", why=reason)
        why = self.wrong(found, evidence)
        return self.verdict(not why, expected=expected, got=show(found), why=why)
