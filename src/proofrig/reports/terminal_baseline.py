"""Baselines for a terminal: which there are, and what one holds.

Rules:
1. The console is made by `console.make_console`, whose rules say what may be printed.
2. A run of an uncommitted tree says so wherever it stands, and so does a choice of a person's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrig.branches import short
from proofrig.comparisons.sample import Sample, TrialSample
from proofrig.reports.words import clean, line, percent, plural
from proofrig.store import BaselineRecord

_WIDE = 96
_RUNS = 6


def print_baselines(console: Console, records: Sequence[BaselineRecord]) -> None:
    """The baselines in a store, as they come."""
    if not records:
        console.print("No baselines yet. Keep a run as one with: proofrig baseline set RUN")
        return
    columns = ["Branch", "Run", "Commit", "Of", "Pass rate", "Kept"]
    wide = console.width >= _WIDE
    hidden = set[str]() if wide else {"Of"}
    whole = ("Run", "Commit") if wide else ()
    table = _table(*(name for name in columns if name not in hidden), whole=whole)
    for record in records:
        rate = record.passed / record.measured if record.measured else None
        cells = {
            "Branch": Text(line(record.branch, 40)),
            "Run": Text(clean(record.run)),
            "Commit": Text(clean(short(record.commit)) or "-"),
            "Of": Text(line(", ".join(_under(record)), 60)),
            "Pass rate": Text(percent(rate)),
            "Kept": Text("pinned", "bold") if record.pinned else Text("auto", "dim"),
        }
        table.add_row(*(cell for name, cell in cells.items() if name not in hidden))
    console.print(table)


def _under(record: BaselineRecord) -> list[str]:
    """What it is a baseline of, besides its suite."""
    staged = record.scenarios != ("",)
    scenarios = [name or "the plain plan" for name in record.scenarios if staged]
    parts = [plural(record.cases, "case"), *scenarios, record.conditions]
    return [part for part in parts if part]


def print_baseline(console: Console, sample: Sample) -> None:
    """What a baseline holds: whose runs, and how each case did in them."""
    measured = [trial for trial in sample.trials if trial.passed is not None]
    title = Text.assemble((f"Baseline of {clean(sample.suite)}", "bold"))
    console.print(title, f"  {_score(measured)}", sep="")
    shown = [line(run) for run in sample.runs[-_RUNS:]]
    earlier = len(sample.runs) - len(shown)
    code = " at ".join(filter(None, (clean(sample.branch), clean(short(sample.commit)))))
    pairs = [
        ("Runs" if len(sample.runs) > 1 else "Run", "\n".join(shown)),
        ("", f"and {plural(earlier, 'earlier run')}" if earlier > 0 else ""),
        ("Code", code or "not known"),
        ("Suite", f"{plural(len(sample.cases), 'case')}, digest {sample.suite_digest[:12]}"),
        ("Trials", f"{len(sample.trials):,}, {_unmeasured(sample, len(measured))}"),
    ]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            grid.add_row(Text(f"  {name}", "dim"), Text(value))
    console.print(grid)
    console.print()
    console.print(_cases(sample))


def _unmeasured(sample: Sample, measured: int) -> str:
    left = len(sample.trials) - measured
    return f"{left:,} not measured" if left else "all measured"


def _score(measured: Sequence[TrialSample]) -> str:
    passed = sum(1 for trial in measured if trial.passed)
    rate = percent(passed / len(measured) if measured else None)
    return f"{rate} ({passed:,} of {len(measured):,} measured trials)" if measured else rate


def _cases(sample: Sample) -> Table:
    """Each case of each scenario, those that failed most often first."""
    trials: Counter[tuple[str, str]] = Counter()
    measured: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for trial in sample.trials:
        place = (trial.scenario, trial.case)
        trials[place] += 1
        measured[place] += trial.passed is not None
        passed[place] += trial.passed is True
    staged = any(scenario for scenario, _ in trials)
    table = _table(*(["Scenario"] if staged else []), "Case", "Passed", "Not measured")

    def failed_most(place: tuple[str, str]) -> tuple[float, tuple[str, str]]:
        share = passed[place] / measured[place] if measured[place] else -1.0
        return share, place

    for place in sorted(trials, key=failed_most):
        scenario, case = place
        left = trials[place] - measured[place]
        table.add_row(
            *([Text(clean(scenario) or "-")] if staged else []),
            Text(clean(case)),
            Text(f"{passed[place]} of {measured[place]}"),
            Text(f"{left}" if left else "-", "yellow" if left else "dim"),
        )
    return table


def _table(*columns: str, whole: Sequence[str] = ()) -> Table:
    """A table; what is in the columns `whole` is not broken, so that it can be copied."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    return table
