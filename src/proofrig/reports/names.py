"""What figures are called, and how their numbers are written: in comparisons and over the runs.

Rules:
1. A figure of the catalogue (`proofrig.figures`) has its unit and its better side from there, by
   its own name, by `p99(name)`, and by what a checker calls it. Any other is shown as it is.
2. Names may be somebody else's text: they come out on one line, cleaned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proofrig.figures import OWN, Better, Figure, called, find
from proofrig.reports.words import amount, line

# In the words of a person, where the name's own are not.
TITLES = {
    "accuracy": "Pass rate",
    "llm_calls": "Model calls",
    "llm_latency": "Latency of a model call",
    "duration": "Duration of a trial",
    "denied": "Denied calls",
    "tool_429_rate": "Tool calls answered 429",
    "llm_429_rate": "Model calls answered 429",
    "wrong_tenant_hit_rate": "Cache hits of another tenant",
    "fairness_jain": "Fairness over tenants (Jain)",
    "amplification": "Retry amplification",
}
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)\((.+)\)")
_ENDED = re.compile(r"(.+)_(p50|p95|p99)")
_OF_K = re.compile(r"pass_(at|hat)_(\d+|k)")


@dataclass(frozen=True, slots=True)
class Named:
    """A figure's title, its unit, which way is better ("" neither or not known), and how many of
    that unit one of its numbers is."""

    title: str
    unit: str = ""
    better: Better = ""
    scale: float = 1.0

    def said(self, value: float | None) -> str:
        """A number of it in words."""
        return amount(None if value is None else value * self.scale, self.unit)


def named(name: str, scenario: str = "") -> Named:
    """What is known of a figure by its name; `scenario`: where it was measured."""
    if (raw := called(name)) is not None and find(name) is None:
        quantile = "" if raw.quantile is None else f"{100 * raw.quantile:g}"
        return Named(_title(raw.name, quantile, scenario), *_facts(raw.figure), raw.scale)
    whole, quantile = _split(name)
    if (figure := find(whole)) is not None:
        return Named(_title(whole, quantile, scenario), *_facts(figure))
    head, colon, rest = name.partition(":")
    if colon and not scenario and (find(_split(rest)[0]) or called(rest)):
        return named(rest, head)
    return Named(_title(whole.removeprefix(OWN), quantile, scenario))


def _split(name: str) -> tuple[str, str]:
    """A figure's own name, and the quantile of it that is meant, in percent."""
    if match := _QUANTILE.fullmatch(name):
        return match[2], match[1]
    if (match := _ENDED.fullmatch(name)) and find(match[1]) is not None:
        return match[1], match[2][1:]
    return name, ""


def _facts(figure: Figure) -> tuple[str, Better]:
    return figure.unit, figure.better


def _title(name: str, quantile: str, scenario: str) -> str:
    head, _, part = name.partition(":")
    plain = head.removesuffix("_per_trial")
    words = TITLES.get(plain, "")
    if match := _OF_K.fullmatch(head):
        words = f"pass{'@' if match[1] == 'at' else '^'}{match[2]}"
    if not words:
        words = plain.replace("_", " ")
        words = words if "^" in words or "@" in words else words[:1].upper() + words[1:]
    words += " of a trial" if plain != head else ""
    if quantile:
        words += ", median" if quantile == "50" else f", p{quantile}"
    within = ", ".join(text for text in (part, scenario) if text)
    return line(f"{words} ({within})" if within else words, 100)
