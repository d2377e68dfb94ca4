"""The console that reports print to.

Rules:
1. Plain text when the output is not a terminal, no colour when NO_COLOR is set, ASCII where the
   encoding knows no more; never wider than 100 columns. What other people's text has beyond the
   encoding becomes a question mark.
2. Nothing is interpreted: no markup, no emoji codes, no highlighting of what looks like a number.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO

from rich.console import Console

from proofrig.comparisons.gate import State

WIDEST = 100
STYLES = {"passed": "green", "failed": "red", "unmeasured": "yellow"}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs that the output's encoding can carry."""

    passed: str = "✓"
    failed: str = "✗"
    unmeasured: str = "?"
    track: str = "─"
    band: str = "━"
    point: str = "●"
    times: str = "×"
    arrow: str = "→"
    fault: str = "▲"
    bars: str = "▁▂▃▄▅▆▇█"

    def state(self, name: str) -> str:
        """The sign of passed, failed or unmeasured."""
        sign: str = getattr(self, name)
        return sign

    def gate(self, state: State) -> str:
        """The sign of a gate or a verdict."""
        return {"pass": self.passed, "fail": self.failed}.get(state, self.unmeasured)


_ASCII = Glyphs("+", "x", "?", "-", "=", "o", "x", "->", "^", "_.-~=+*#")


def make_console(file: IO[str] | None = None, *, width: int | None = None) -> Console:
    """A console as the rules ask for; `file` is standard output unless given."""
    stream = sys.stdout if file is None else file
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    console = Console(file=file, highlight=False, markup=False, emoji=False, width=width)
    console.width = min(console.width, WIDEST)
    return console


def glyphs_of(console: Console) -> Glyphs:
    """What this console can show."""
    return Glyphs() if console.encoding.lower().startswith("utf") else _ASCII
