"""`contains`: texts that the answer must, may or must not hold.

Rules:
1. `all` must be there, at least one of `any`, and nothing of `none`.
2. A text that begins or ends in a digit is not found inside a longer number: "42" is not in
   "1420", "42.5" or "42,000", and "ORD-1" is not in "ORD-12".
3. Any run of white space meets any other; Unicode composition does not matter.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import model_validator

from proofrig.verifiers._values import nfc, show
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier


class Contains(Verifier):
    """The answer holds `all`, one of `any`, and nothing of `none`."""

    type: Literal["contains"] = "contains"
    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    ignore_case: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> Contains:
        texts = (*self.all, *self.any, *self.none)
        if not texts or not min((text.strip() for text in texts), key=len):
            raise ValueError("expected texts under `all`, `any` or `none`; an empty one is no text")
        return self

    def verify(self, evidence: Evidence) -> Verdict:
        missing = [text for text in self.all if not self._finds(text, evidence.answer)]
        unwanted = [text for text in self.none if self._finds(text, evidence.answer)]
        lacks_any = bool(self.any) and not [t for t in self.any if self._finds(t, evidence.answer)]
        whys = [
            f"missing: {', '.join(map(show, missing))}" if missing else "",
            f"none of: {', '.join(map(show, self.any))}" if lacks_any else "",
            f"unwanted: {', '.join(map(show, unwanted))}" if unwanted else "",
        ]
        why = "; ".join(filter(None, whys))
        return self.verdict(not why, expected=self._wish(), got=show(evidence.answer), why=why)

    def _finds(self, text: str, answer: str) -> bool:
        flags = re.IGNORECASE if self.ignore_case else re.NOFLAG
        return re.search(_pattern(nfc(text.strip())), nfc(answer), flags) is not None

    def _wish(self) -> str:
        parts = {"all of": self.all, "any of": self.any, "none of": self.none}
        return ", ".join(f"{word} {show(texts)}" for word, texts in parts.items() if texts)


def _pattern(text: str) -> str:
    pattern = r"\s+".join(re.escape(word) for word in text.split())
    if re.match(r"[0-9]", text):
        pattern = rf"(?<![0-9])(?<![0-9]\.){pattern}"
    if re.match(r"[0-9]{3}(?![0-9])", text):  # could be the last group of 1,234
        pattern = rf"(?<![0-9],){pattern}"
    if re.search(r"[0-9]$", text):
        pattern = rf"{pattern}(?![0-9])(?!\.[0-9])(?!,[0-9]{{3}}(?![0-9]))"
    return pattern
