"""Progress while a run goes on: one live line on a terminal, a plain line now and then elsewhere.

Rules:
1. Drawing costs next to nothing: at most ten times a second on a terminal; elsewhere a line every
   ten seconds, or for every tenth of the run when that takes longer than a second.
2. It goes to standard error, so that standard output stays the result's.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from proofrig.trials.runner import Progress

LIVE_S = 0.1
PLAIN_S, TENTH_S = 10.0, 1.0


class Reporter:
    """Shows progress. Use as a context; `update` is called after each trial."""

    def __init__(self, suite: str, *, silent: bool = False) -> None:
        self._suite = suite
        self._silent = silent
        self._began = time.monotonic()
        self._shown_at = self._began
        self._shown_share = 0.0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Reporter:
        if not self._silent and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._suite, total=None, counts="starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, progress: Progress) -> None:
        """Show the counts, when it is time to."""
        if self._silent:
            return
        now = time.monotonic()
        finished = progress.done >= progress.total
        if self._bar is not None:
            if finished or now - self._shown_at >= LIVE_S:
                self._shown_at = now
                done, text = progress.done, counts(progress)
                self._bar.update(self._task, total=progress.total, completed=done, counts=text)
            return
        share = progress.done / progress.total if progress.total else 1.0
        waited = now - self._shown_at
        tenth = share - self._shown_share >= 0.1 and waited >= TENTH_S
        if finished or tenth or waited >= PLAIN_S:
            self._shown_at, self._shown_share = now, share
            done_of = f"{progress.done}/{progress.total} trials"
            seconds = now - self._began
            click.echo(f"{self._suite}  {done_of}  {counts(progress)}  {seconds:.0f}s", err=True)


def counts(progress: Progress) -> str:
    """The counts in words, the usual ones always, the others where there are any."""
    parts = [f"{progress.passed} passed", f"{progress.failed} failed"]
    if progress.unmeasured:
        parts.append(f"{progress.unmeasured} not measured")
    if progress.retried:
        parts.append(f"{progress.retried} retried")
    return ", ".join(parts)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=10,
        transient=True,
    )
