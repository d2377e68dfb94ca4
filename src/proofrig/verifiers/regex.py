"""`regex`: a Python regular expression that the answer must, or must not, match.

Rules:
1. The pattern is searched for anywhere; `full: true` asks it to be the whole stripped answer.
2. A pattern that does not compile is refused when the suite is loaded.
3. Only the first `SEARCHED` characters are searched, which bounds what a flood can cost.
"""

from __future__ import annotations

import re
from typing import Literal

from proofrig.verifiers._values import nfc, show
from proofrig.verifiers.verifier import Evidence, Pattern, Verdict, Verifier

SEARCHED = 1_000_000


class Regex(Verifier):
    """The answer matches `pattern`; with `absent: true` it does not."""

    type: Literal["regex"] = "regex"
    pattern: Pattern
    ignore_case: bool = False
    full: bool = False
    absent: bool = False

    def verify(self, evidence: Evidence) -> Verdict:
        flags = re.IGNORECASE if self.ignore_case else re.NOFLAG
        pattern = re.compile(nfc(self.pattern), flags)
        answer = nfc(evidence.answer.strip()[:SEARCHED])
        found = pattern.fullmatch(answer) if self.full else pattern.search(answer)
        word = "no match" if self.absent else "a full match" if self.full else "a match"
        why = f"matched {show(found.group())}" if found else ""
        return self.verdict(
            (found is not None) != self.absent,
            expected=f"{word} of /{self.pattern}/",
            got=show(answer),
            why=why if self.absent else "",
        )
