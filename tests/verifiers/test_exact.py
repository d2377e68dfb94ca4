from __future__ import annotations

import pytest

from builders import evidence
from proofrig.verifiers.exact import Exact


@pytest.mark.parametrize(
    ("verifier", "answer", "passed"),
    [
        (Exact(value="42"), "42", True),
        (Exact(value="42"), "  42\n", True),
        (Exact(value="42"), "not 42", False),
        (Exact(value="42"), "42 or 43", False),
        (Exact(value="42"), "42.0", False),  # written as text, so it is text
        (Exact(value="007"), "7", False),
        (Exact(value=42), "42", True),
        (Exact(value=42), "42.0", True),
        (Exact(value=42.0), "42", True),
        (Exact(value=42), "4.2e1", True),
        (Exact(value=42), "not 42", False),
        (Exact(value=42), "", False),
        (Exact(value=42), "sNaN", False),
        (Exact(value=42), "Infinity", False),
        (Exact(value=0.1), "0.1", True),
        (Exact(value=12345678901234567), "12345678901234568", False),
        (Exact(value=1), "9" * 5000, False),
        (Exact(value=True), "TRUE", True),
        (Exact(value=True), "1", False),
        (Exact(value=False), "true", False),
        (Exact(value="Yes"), "yes", False),
        (Exact(value="Yes", ignore_case=True), "yes", True),
        (Exact(value="Straße", ignore_case=True), "STRASSE", True),
        (Exact(value="caf\u00e9"), "cafe\u0301", True),
        (Exact(value="a\nb"), "a\r\nb", True),
        (Exact(value="a b"), "a  b", False),
        (Exact(any_of=("a", 2)), "2.0", True),
        (Exact(any_of=("a", 2)), "b", False),
        (Exact(value=""), " \n", True),
        (Exact(value="\ufffd"), "\udcff", False),
    ],
)
def test_exact(verifier: Exact, answer: str, passed: bool) -> None:
    assert verifier.verify(evidence(answer)).passed is passed


def test_message_says_expected_and_got() -> None:
    verdict = Exact(any_of=("a", 2)).verify(evidence("b"))
    assert verdict.message == 'expected "a" or 2; got "b"'
