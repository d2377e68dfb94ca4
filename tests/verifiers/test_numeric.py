from __future__ import annotations

from typing import Any

import pytest

from builders import evidence
from proofrig.verifiers.numeric import Numeric


def accepts(answer: str, value: float, **settings: Any) -> bool | None:
    return Numeric(value=value, **settings).verify(evidence(answer)).passed


@pytest.mark.parametrize(
    ("answer", "value", "passed"),
    [
        ("12.5", 12.5, True),
        (" 12.50\n", 12.5, True),
        ("12.5.", 12.5, True),
        ("**12.5**", 12.5, True),
        ("12", 12.0, True),
        ("1,234,567.5", 1234567.5, True),
        ("1'234'567.5", 1234567.5, True),
        ("1\u202f234\u202f567.5", 1234567.5, True),
        ("1_234_567.5", 1234567.5, True),
        ("1.2345675e6", 1234567.5, True),
        ("-3", -3, True),
        ("\u22123", -3, True),
        ("- 3", 3, False),
        ("-$3.50", -3.5, True),
        ("$3.50", 3.5, True),
        ("3.50 €", 3.5, True),
        (".5", 0.5, True),
        ("12 %", 0.12, True),
        ("12%", 12, False),
        ("3 million", 3_000_000, True),
        ("$3 Million", 3_000_000, True),
        ("12.5 kg", 12.5, False),  # a unit that nobody named
        ("1,23", 1.23, False),
        ("1,23", 123, False),
        ("1.2.3", 1.2, False),
        ("12.5 or 13", 12.5, False),
        ("not 12.5", 12.5, False),
        ("the answer is 12.5", 12.5, False),
        ("", 0, False),
        ("none", 0, False),
        ("nan", 0, False),
        ("1e999", 1, False),
        ("1e-999", 0, False),
        ("12345678901234567", 12345678901234567, True),
        ("12345678901234568", 12345678901234567, False),
        ("9" * 5_000, 9, False),
        ("\udcff", 1, False),
    ],
)
def test_the_whole_answer_is_a_number(answer: str, value: float, passed: bool) -> None:
    assert accepts(answer, value) is passed


@pytest.mark.parametrize(
    ("answer", "settings", "passed"),
    [
        ("12.51", {"abs_tol": 0.01}, True),  # the edge belongs to it, in decimals
        ("12.49", {"abs_tol": 0.01}, True),
        ("12.511", {"abs_tol": 0.01}, False),
        ("12.625", {"rel_tol": 0.01}, True),
        ("12.626", {"rel_tol": 0.01}, False),
        ("12.626", {"rel_tol": 0.01, "abs_tol": 0.2}, True),
        ("-12.5", {"rel_tol": 1}, False),
    ],
)
def test_tolerance_around_12_and_a_half(
    answer: str, settings: dict[str, Any], passed: bool
) -> None:
    assert accepts(answer, 12.5, **settings) is passed


@pytest.mark.parametrize(
    ("answer", "find", "passed"),
    [
        ("The total is 42.", "only", True),
        ("The total is $42.00, thanks.", "only", True),
        ("The total is 41, 42 or 43.", "only", False),
        ("First 7, then 42", "last", True),
        ("First 42, then 7", "last", False),
        ("First 42, then 7", "first", True),
        ("It is not 42.", "only", False),
        ("It isn't exactly 42.", "last", False),
        ("It is not known to be small: 42", "last", True),
        ("order A42", "only", False),
        ("version 1.42.0", "only", False),
        ("1,2,42", "last", False),  # neither groups nor a list with spaces
        ("none", "last", False),
    ],
)
def test_a_number_in_prose(answer: str, find: str, passed: bool) -> None:
    assert accepts(answer, 42, find=find) is passed


@pytest.mark.parametrize(
    ("answer", "settings", "passed"),
    [
        ("12 %", {"unit": "%"}, True),
        ("12 percent", {"unit": "%"}, True),
        ("12", {"unit": "%"}, True),
        ("0.12", {"unit": "%"}, False),
        ("12 kg", {"unit": "kg"}, True),
        ("12KG", {"unit": "kg"}, True),
        ("12", {"unit": "kg"}, True),
        ("12 g", {"unit": "kg"}, False),
        ("12 km/h", {"unit": ("km/h", "kph")}, True),
        ("$12", {"unit": ("$", "USD")}, True),
        ("12 USD", {"unit": ("$", "USD")}, True),
        ("12 €", {"unit": ("$", "USD")}, False),
        ("12 kg in 3 boxes", {"unit": "kg", "find": "only"}, True),
        ("12 g in 3 boxes", {"unit": "kg", "find": "last"}, False),
        ("12,0", {"decimal": ","}, True),
        ("12.000", {"decimal": ","}, False),
    ],
)
def test_units_and_decimal_comma(answer: str, settings: dict[str, Any], passed: bool) -> None:
    assert accepts(answer, 12, **settings) is passed


@pytest.mark.parametrize(
    ("answer", "passed"),
    [("so $83.00 comes back in all.", True), ("so €83 comes back", False), ("it is 83 $", True)],
)
def test_a_currency_sign_in_front_settles_the_unit(answer: str, passed: bool) -> None:
    found = Numeric(value=83, unit="$", find="last").verify(evidence(answer=answer))
    assert found.passed is passed


def test_message_says_expected_got_and_why() -> None:
    verdict = Numeric(value=12.5, abs_tol=0.01, unit="kg").verify(evidence("13 kg"))
    assert verdict.message == 'expected 12.5 kg, abs_tol 0.01; got 13 in "13 kg"'
    assert "not expected" not in verdict.message
    assert "find: only" in Numeric(value=1).verify(evidence("it is 1")).message
