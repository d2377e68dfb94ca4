"""`python -m reactions`: observe every cell and write docs/fault-reactions.md.

The first run makes the frameworks' environments, which takes some minutes. With globs, such as
`'openai_sdk/*'`, only those clients are observed, and the reactions are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import product, repeat
from pathlib import Path

from reactions.catalogue import LIMIT_S, ROWS, TOOL_ROWS, UNSTEADY, Row
from reactions.columns import COLUMNS, TOOL_COLUMNS, Column
from reactions.observe import observatory, observe_all
from reactions.page import page
from reactions.reaction import Reaction, say

PAGE = Path(__file__).parents[1] / "docs" / "fault-reactions.md"


def cells() -> Iterator[tuple[Row, Column]]:
    """All of them, row by row; those that are unsteady several times."""
    for rows, columns in ((ROWS, COLUMNS), (TOOL_ROWS, TOOL_COLUMNS)):
        for row, column in product(rows, columns):
            yield from repeat((row, column), UNSTEADY.get((row.title, str(column)), 1))


class _Progress:
    """Says how far it has come."""

    def __init__(self, of: int) -> None:
        self._of, self._done = of, 0

    def __call__(self, reaction: Reaction) -> None:
        self._done += 1
        if self._done % 50 == 0:
            print(f"{self._done} of {self._of} cells", flush=True)


async def observed(
    chosen: list[tuple[Row, Column]], together: int
) -> tuple[list[Reaction], dict[str, dict[str, str]]]:
    """The reactions of these cells, and the versions of the libraries."""
    async with observatory(together) as seen:
        reactions = await observe_all(seen, chosen, _Progress(len(chosen)))
        return reactions, seen.versions()


def main() -> int:
    """Observe, write or print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reactions", description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="GLOB", help="of clients: openai_sdk/chat*")
    parser.add_argument("--row", default="*", metavar="GLOB", help="of faults: '429*'")
    parser.add_argument("--together", type=int, default=8, help="cells at once (default: 8)")
    asked = parser.parse_args()
    chosen = [
        (row, column)
        for row, column in cells()
        if any(fnmatchcase(str(column), glob) for glob in asked.clients or ("*",))
        and (fnmatchcase(row.title, asked.row) or row.kind == asked.row)
    ]
    began = time.monotonic()
    reactions, versions = asyncio.run(observed(chosen, asked.together))
    print(f"{len(reactions)} cells in {time.monotonic() - began:.0f} s")
    if asked.clients or asked.row != "*":
        for one in reactions:
            print(f"{one.row} | {one.column} | {say(one)} | {one.words[:100]}")
        return 0
    PAGE.write_text(page(reactions, versions, LIMIT_S))
    print(f"written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
