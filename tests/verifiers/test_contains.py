from __future__ import annotations

import pytest

from builders import evidence
from proofrig.verifiers.contains import Contains


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("42", "it is 42.", True),
        ("42", "**42**", True),
        ("42", "1420", False),
        ("42", "142", False),
        ("42", "42.5", False),
        ("42", "3.42", False),
        ("42", "42,000", False),
        ("42", "41,42,43", True),
        ("234", "1,234", False),
        ("1,234", "1,234 items", True),
        ("ORD-1", "ORD-12", False),
        ("ORD-1", "ORD-1, ORD-12", True),
        ("2024-05", "2024-05-06", True),
        ("new  york", "new\nyork", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("a.c", "abc", False),
        ("Yes", "yes", False),
        ("x", "\udcff x", True),
    ],
)
def test_a_text_is_found_as_a_reader_would(text: str, answer: str, found: bool) -> None:
    assert Contains(all=(text,)).verify(evidence(answer)).passed is found
    assert Contains(any=(text,)).verify(evidence(answer)).passed is found
    assert Contains(none=(text,)).verify(evidence(answer)).passed is not found


@pytest.mark.parametrize(
    ("answer", "passed", "why"),
    [
        ("paris and rome, france", True, ""),
        ("PARIS and ROME, FRANCE", True, ""),
        ("paris, france", False, 'missing: "Rome"'),
        ("paris and rome", False, 'none of: "France", "Italy"'),
        ("paris, rome, france, berlin", False, 'unwanted: "Berlin"'),
        ("", False, 'missing: "Paris", "Rome"; none of: "France", "Italy"'),
    ],
)
def test_all_any_and_none_together(answer: str, passed: bool, why: str) -> None:
    verifier = Contains(
        all=("Paris", "Rome"), any=("France", "Italy"), none=("Berlin",), ignore_case=True
    )
    verdict = verifier.verify(evidence(answer))
    assert verdict.passed is passed
    assert why in verdict.message
