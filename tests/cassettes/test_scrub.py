"""Named rules: what they take for the same, and what they leave alone."""

from __future__ import annotations

import pytest

from proofrig.cassettes._pieces import Pieces
from proofrig.cassettes.redaction import Redactor
from proofrig.cassettes.scrub import OWN, rules_of
from proofrig.errors import UsageError

UUID = "123e4567-e89b-12d3-a456-426614174000"


def scrubbed(text: str, **own: str) -> str:
    return Pieces(rules_of(own), Redactor(b"salt")).text(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"order {UUID}", "order <id>"),
        ("see call_1a2b3c4d5e6f and toolu_01AbCdEfGh", "see <id> and <id>"),
        ("at 2026-11-21T09:16:19.123Z.", "at <timestamp>."),
        ("at 2026-11-21 09:16:19 +0100", "at <timestamp>"),
        ("at Sat, 21 Nov 2026 09:16:19 GMT", "at <timestamp>"),
        ("Today is Saturday, November 21, 2026.", "Today is <date>."),
        ("Today's date: 2026-11-21", "Today's date: <date>"),
        ("The current date is 21 November 2026.", "The current date is <date>."),
        ("in /tmp/tmpab12/report.txt", "in <tmp>/report.txt"),
        ("in /var/folders/xy/z12/T/out", "in <tmp>/out"),
        ("http://127.0.0.1:43121/v1", "http://127.0.0.1:<port>/v1"),
        ("You have 12,345 tokens left", "You have <n> tokens left"),
        ("Token usage: 10/200; 190 remaining", "Token usage: <n>"),
        ("done <system-reminder>be\nnice</system-reminder> now", "done now"),
        ("Ran 2 tests in 0.026s", "Ran 2 tests in <elapsed>"),
        ("2 passed in 0.3 s, took 12 ms", "2 passed in <elapsed>, took <elapsed>"),
        ("x cc_version=2.1.329.a", "x cc_version=<version>"),
        ("Ran 2 tests in 0.026s", "Ran 2 tests in <elapsed>"),
        ("1 failed, 2 passed in 0.31 s", "1 failed, 2 passed in <elapsed>"),
        ("it took 12 ms", "it took <elapsed>"),
    ],
)
def test_what_does_not_matter_is_named(text: str, left: str) -> None:
    assert scrubbed(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "deliver on 2026-11-21 at 09:16",
        "buy 500 tokens of silver",
        "call_center and msg_board",
        "from 10:30 to 11:00",
        "the ride took 30 minutes, the elevator took 5 seconds",
        "the tmp directory",
        "deliver it in 3 s, or within 20 seconds",
        "port 43121 of example.com:43121",
    ],
)
def test_what_may_matter_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_a_user_adds_replaces_and_turns_off_rules() -> None:
    assert scrubbed("order 4711", order=r"\d{4}") == "order <order>"
    assert scrubbed(f"{UUID} here", uuid="") == f"{UUID} here"
    assert scrubbed("at 5 o'clock", timestamp=r"\d o'clock") == "at <timestamp>"
    assert {rule.name for rule in rules_of({"mine": "x"})} == {rule.name for rule in OWN} | {"mine"}


def test_a_broken_expression_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="scrub rule mine: expected a regular expression"):
        rules_of({"mine": "("})
