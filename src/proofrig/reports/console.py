"""The console that reports print to.

Rules:
1. Plain text when the output is not a terminal, no colour when NO_COLOR is set, ASCII where the
   encoding knows no more; never wider than 100 columns.
2. Nothing is interpreted: no markup, no emoji codes, no highlighting of what looks like a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from rich.console import Console

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

    def state(self, name: str) -> str:
        """The sign of passed, failed or unmeasured."""
        sign: str = getattr(self, name)
        return sign


_ASCII = Glyphs("+", "x", "?", "-", "=", "o", "x", "->", "^")


def make_console(file: IO[str] | None = None, *, width: int | None = None) -> Console:
    """A console as the rules ask for; `file` is standard output unless given."""
    console = Console(file=file, highlight=False, markup=False, emoji=False, width=width)
    console.width = min(console.width, WIDEST)
    return console


def glyphs_of(console: Console) -> Glyphs:
    """What this console can show."""
    return Glyphs() if console.encoding.lower().startswith("utf") else _ASCII
