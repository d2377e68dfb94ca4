"""`exact`: the whole answer is one of the expected values.

Rules:
1. White space around the answer, line-end style and Unicode composition do not matter.
2. A value written as a number meets any form of that number (42, 42.0, 4.2e1); a value written as
   text is text, so "007" is not 7. A boolean meets its word in any case.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal

from pydantic import model_validator

from proofrig.verifiers._values import nfc, show
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

Value = str | bool | int | float
_LONGEST_NUMBER = 400


class Exact(Verifier):
    """The answer is `value`, or one of `any_of`."""

    type: Literal["exact"] = "exact"
    value: Value | None = None
    any_of: tuple[Value, ...] = ()
    ignore_case: bool = False

    @model_validator(mode="after")
    def _has_a_value(self) -> Exact:
        if (self.value is None) == (not self.any_of):
            raise ValueError("expected either `value` or `any_of`")
        return self

    def verify(self, evidence: Evidence) -> Verdict:
        wanted = self.any_of if self.value is None else (self.value,)
        answer = _plain(evidence.answer)
        passed = any(self._meets(value, answer) for value in wanted)
        expected = " or ".join(show(value) for value in wanted)
        return self.verdict(passed, expected=expected, got=show(answer))

    def _meets(self, value: Value, answer: str) -> bool:
        if isinstance(value, bool):
            return answer.casefold() == str(value).casefold()
        if isinstance(value, int | float):
            return _number(answer) == Decimal(str(value))
        text = _plain(value)
        if self.ignore_case:
            return nfc(text.casefold()) == nfc(answer.casefold())
        return text == answer


def _plain(text: str) -> str:
    return nfc(text.replace("\r\n", "\n").strip())


def _number(text: str) -> Decimal | None:
    if len(text) > _LONGEST_NUMBER or not text.isascii():
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
