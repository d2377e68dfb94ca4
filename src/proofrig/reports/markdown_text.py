"""Other people's text in Markdown: it stays text, whatever stands in it."""

from __future__ import annotations

import re

from proofrig.reports.words import line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def code(text: str, limit: int = 300) -> str:
    """A code span that its text cannot leave."""
    said = line(text, limit) or " "
    longest = max((len(run) for run in re.findall("`+", said)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{said}{pad}{fence}"


def escaped(text: str, limit: int = 300) -> str:
    """Plain text with nothing in it that Markdown would act on."""
    return _SPECIAL.sub(r"\\\1", line(text, limit)).replace("@", "@\u2060")  # no mention
