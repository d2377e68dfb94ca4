from __future__ import annotations

import pytest

from builders import evidence
from proofrig.verifiers.regex import Regex


@pytest.mark.parametrize(
    ("verifier", "answer", "passed"),
    [
        (Regex(pattern=r"ORD-\d+"), "see ORD-17.", True),
        (Regex(pattern=r"ORD-\d+"), "see ord-17.", False),
        (Regex(pattern=r"ORD-\d+", ignore_case=True), "see ord-17.", True),
        (Regex(pattern=r"ORD-\d+", full=True), " ORD-17\n", True),
        (Regex(pattern=r"ORD-\d+", full=True), "see ORD-17", False),
        (Regex(pattern=r"^42$"), "x\n42", False),
        (Regex(pattern=r"(?m)^42$"), "x\n42", True),
        (Regex(pattern="sorry", absent=True), "done", True),
        (Regex(pattern="sorry", absent=True), "sorry", False),
        (Regex(pattern="caf\u00e9"), "cafe\u0301", True),
        (Regex(pattern="x"), "\udcff", False),
    ],
)
def test_regex(verifier: Regex, answer: str, passed: bool) -> None:
    assert verifier.verify(evidence(answer)).passed is passed


def test_message_says_expected_and_got() -> None:
    verdict = Regex(pattern=r"a+").verify(evidence("b"))
    assert verdict.message == 'expected a match of /a+/; got "b"'
