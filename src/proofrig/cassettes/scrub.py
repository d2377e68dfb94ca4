"""What in a text does not matter, by named rules.

Rules:
1. An ordinal rule finds ids: each becomes the number of its first appearance in the request, so
   that which of them are the same still matters. The others put one word in place of all.
2. Rules are narrow: what might be the matter itself (a day in an order, a number of tokens for
   sale) stays. A miss is seen, a false hit is not.
3. A user's rule is a name and a regular expression; with the name of a rule here, it takes its
   place, and an empty expression turns it off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from proofrig.errors import UsageError

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DAY = rf"(?:\d{{4}}-\d\d-\d\d|\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}},? \d{{4}})"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. hints: the pattern matches only texts that hold one of these. put: what takes
    the match's place; None for the number of the id. own: what it does in the agent's own values
    (tools' arguments, addresses), where a time may be the matter itself: `same`, find `ids`, or
    nothing."""

    name: str
    pattern: re.Pattern[str]
    hints: tuple[str, ...] = ("",)
    put: str | None = None
    own: Literal["same", "ids", ""] = "same"


def _rule(
    name: str,
    pattern: str,
    hints: tuple[str, ...],
    put: str | None,
    own: Literal["same", "ids", ""] = "",
) -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE | re.DOTALL), hints, put, own)


OWN = (
    _rule("system-reminder", r"<system-reminder>.*?</system-reminder>\s*", ("<system-r",), ""),
    Rule(
        "provider-id",
        re.compile(
            r"\b(?:call|toolu|srvtoolu|fc|msg|resp|rs|chatcmpl)[_-]"
            r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,}\b"
        ),
        ("call", "toolu", "fc", "msg", "resp", "rs", "chatcmpl"),
    ),
    _rule("uuid", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", ("-",), None, own="same"),
    _rule(
        "timestamp",
        rf"\b(?:\d{{4}}-\d\d-\d\d[T ]{_CLOCK}(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
        rf"|(?:\w{{3}}, )?\d{{1,2}} {_MONTH} \d{{4}} {_CLOCK}(?: (?:GMT|UTC|[+-]\d{{4}}))?)",
        (":",),
        "<timestamp>",
    ),
    _rule(
        "date",
        rf"(?:(?<=\btoday is )|(?<=\btoday's date is )|(?<=\btoday's date: )|(?<=\btoday: )"
        rf"|(?<=\bcurrent date: )|(?<=\bcurrent date is )|(?<=\bthe date is )"
        rf"|(?<=\bcurrent time: )|(?<=\bcurrent time is )|(?<=\bcurrent datetime: ))"
        rf"(?:\w+day,? )?{_DAY}(?:[T ,]+\d\d?:\d\d(?: ?[AP]M)?)?",
        ("oday", "urrent", "he date is"),
        "<date>",
    ),
    _rule(
        "tmp-path",
        r"(?:/private)?/(?:tmp|var/folders/[^/\s]+/[^/\s]+|dev/shm)/[^/\s\"'`<>:,;()\[\]\\]+",
        ("/tmp/", "/var/folders/", "/dev/shm/"),
        "<tmp>",
        own="ids",
    ),
    # What test runners and tools say of their own time: "Ran 2 tests in 0.026s", "took 12 ms".
    _rule(
        "elapsed",
        r"(?:(?<=\btests in )|(?<=\btest in )|(?<=\bpassed in )|(?<=\bfailed in )"
        r"|(?<=\bfinished in )|(?<=\bcompleted in )|(?<=\bdone in )|(?<=\btook )|(?<=\berrors in )"
        r"|(?<=\berror in )|(?<=\bwarnings in )|(?<=\bwarning in )|(?<=\bskipped in )"
        r"|(?<=\belapsed: )|(?<=\bduration: ))"
        r"(?:\d+\.\d+ ?(?:s|secs?|seconds?)|\d+(?:\.\d+)? ?(?:ms|us|milliseconds?))\b",
        (" in ", "took ", "elapsed: ", "uration: "),
        "<elapsed>",
    ),
    _rule(
        "loopback-port",
        r"(?<=127\.0\.0\.1:)\d{4,5}|(?<=localhost:)\d{4,5}",
        (":",),
        "<port>",
        own="ids",
    ),
    _rule(
        "token-count",
        r"\b\d[\d,]*(?=\s+(?:\w+\s+)?tokens?\s+(?:left|remain|used))"
        r"|(?<=token usage: )\d+/\d+; \d+ remaining|(?<=tokens left: )\d[\d,]*",
        ("oken",),
        "<n>",
    ),
    _rule("client-version", r"(?<=cc_version=)[\w.]+", ("cc_version=",), "<version>"),
)


def rules_of(own: Mapping[str, str]) -> tuple[Rule, ...]:
    """All rules, with a user's. Raises UsageError for an expression that is none."""
    found = [rule for rule in OWN if rule.name not in own]
    for name, text in own.items():
        if text:
            try:
                found.append(Rule(name, re.compile(text, re.DOTALL), ("",), f"<{name}>"))
            except re.error as error:
                raise UsageError(
                    f"scrub rule {name}: expected a regular expression, got {text!r}: {error}"
                ) from error
    return tuple(found)
