"""Reports for a terminal and for logs: the end-of-run summary, and what `show` and `list` print.

Rules:
1. The console is made by `console.make_console`, whose rules say what may be printed.
2. Text from agents is cleaned before it is printed: it cannot move the cursor or set a colour.
3. The verdict comes first; where to read on comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proofrig.places import run_name
from proofrig.reports import taping
from proofrig.reports.console import STYLES, Glyphs, glyphs_of
from proofrig.reports.reading import (
    CaseResult,
    State,
    baseline,
    cases_of,
    cautions,
    find_case,
    flaky_of,
    gated,
    reproduce,
    some,
    state_of,
    suite_of,
    verdict_of,
    why,
    worst_first,
)
from proofrig.reports.report import RunReport
from proofrig.reports.terminal_authority import print_authority
from proofrig.reports.terminal_comparison import print_comparison, print_gates
from proofrig.reports.terminal_contention import print_contention
from proofrig.reports.terminal_faults import print_faults
from proofrig.reports.terminal_resources import print_resources
from proofrig.reports.words import big, clean, duration, line, money, percent, plural
from proofrig.results import Score
from proofrig.store import RunRecord

_TONES = {"good": "bold green", "bad": "bold red", "unsure": "bold yellow", "plain": "bold blue"}
_WIDE = 96
_DOTS = 60
_STATES: tuple[State, ...] = ("failed", "unmeasured", "passed")
_VERDICTS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


def print_summary(
    console: Console, report: RunReport, written: Sequence[Path] = (), *, everything: bool = False
) -> None:
    """The end of a run, at a glance. `written`: the reports that were written. `everything`: each
    finding that was kept, not only the first of its kind."""
    verdict, signs, overall = verdict_of(report), glyphs_of(console), report.summary.overall
    tone = _TONES[verdict.tone]
    sign = {"good": signs.passed, "bad": signs.failed, "plain": signs.passed}.get(verdict.tone, "!")
    console.print(Text.assemble((f"{sign} {verdict.word}", tone), "  ", clean(verdict.says)))
    size = f"{plural(overall.cases, 'case')} {signs.times} {plural(overall.k or 1, 'repeat')}"
    parts = [line(report.suite), size, duration(report.duration_ns), taping.said(report)]
    console.print(Text("  " + ", ".join(filter(None, parts)), "dim"))
    if gated(report):
        console.print()
        print_gates(console, report.gates)
    if report.comparison is not None:
        console.print()
        print_comparison(console, report.comparison, everything=everything, brief=True)
    console.print()
    _pairs(console, _numbers(report, signs))
    print_contention(console, report, everything=everything)
    print_faults(console, report, everything=everything)
    print_resources(console, report, everything=everything)
    print_authority(console, report, everything=everything)
    _cautions(console, [*report.cuts, *cautions(report), *report.troubles[:5]], report.notes)
    _worst(console, report, signs)
    console.print()
    reads = [("Report", str(path)) for path in written]
    reads += taping.commands(report, suite_of(report))
    _commands(console, [*reads, ("Look into", f"proofrig show {run_name(report.run_dir)}")])


def print_run(console: Console, report: RunReport) -> None:
    """A stored run: its summary, its groups, all its cases."""
    print_summary(console, report, everything=True)
    for title, scores in (
        ("Difficulty", report.summary.by_difficulty),
        ("Tag", report.summary.by_tag),
    ):
        if scores:
            console.print()
            _groups(console, title, scores)
    console.print()
    _cases(console, cases_of(report), glyphs_of(console))


def print_case(console: Console, report: RunReport, name: str) -> None:
    """A case: every repeat with its outcome and reason. Raises UsageError for an unknown case."""
    case, signs = find_case(report, name), glyphs_of(console)
    style = STYLES[case.state]
    score, flaky = case.score, ", flaky" if case.flaky else ""
    said = f"{score.passed} of {score.measured} measured repeats passed{flaky}"
    console.print(
        Text.assemble((f"{signs.state(case.state)} {clean(case.id)}", f"bold {style}"), "  ", said)
    )
    table = _table("Trial", "", "Time", "Cost", "Calls", "Why")
    others = [row for row in report.rows if row.case == case.id and row.role != "subject"]
    for row in [*case.rows, *others]:
        state = state_of(row)
        expected = row.role == "null" and state == "failed"
        table.add_row(
            clean(row.trial),
            Text(signs.state(state), "dim" if expected else STYLES[state]),
            duration(row.duration_ns),
            money(row.usd_micro),
            f"{row.llm_calls}+{row.tool_calls}",
            Text("as it should be" if expected else why(row, 200)),
        )
    console.print(table)
    show = f"proofrig show {run_name(report.run_dir)}"
    _commands(
        console,
        [
            ("Null", baseline(score.null_passed, score.null_trials)),
            ("Reference", baseline(score.reference_passed, score.reference_trials)),
            ("Trace", f"{show} {(case.first or case.rows[0]).trial}"),
            ("Reproduce", reproduce(report, case.id)),
        ],
    )


def print_runs(
    console: Console, records: Iterable[RunRecord], rates: Mapping[str, float | None] | None = None
) -> None:
    """Stored runs, as they come; with pass rates (None: not measured) when `rates` are given."""
    records = list(records)
    if not records:
        console.print("No runs yet. Begin with: proofrig run SUITE")
        return
    columns = ["Run", "Suite", "Started", "Status", "Pass rate", "Verdict"]
    hidden = {"Pass rate"} if rates is None else set[str]()
    if console.width < _WIDE:
        hidden |= {"Suite", "Started"}  # a run's id begins with both
    table = _table(*(name for name in columns if name not in hidden))
    for record in records:
        started = datetime.fromtimestamp(record.started_ns / 1e9, UTC)
        cells = {
            "Run": Text(record.run),
            "Suite": Text(line(record.suite, 40)),
            "Started": Text(f"{started:%Y-%m-%d %H:%M}"),
            "Status": Text(record.status),
            "Pass rate": Text(percent((rates or {}).get(record.run))),
            "Verdict": Text(record.verdict or "-", _VERDICTS.get(record.verdict, "")),
        }
        table.add_row(*(cell for name, cell in cells.items() if name not in hidden))
    console.print(table)
    cut_off = [run_name(Path(record.path)) for record in records if record.status == "cut off"]
    _commands(console, [("Go on", f"proofrig resume {name}") for name in cut_off[:5]])


def _numbers(report: RunReport, signs: Glyphs) -> list[tuple[str, Text]]:
    overall, latency = report.summary.overall, report.summary.latency_ns
    k = overall.k
    again = f"pass@1 {percent(overall.pass_at.get('1'))}"
    if k > 1:
        again += f"   pass^{k} {percent(overall.pass_hat.get(str(k)))}"
        again += f"   pass@{k} {percent(overall.pass_at.get(str(k)))}"
    null = baseline(overall.null_passed, overall.null_trials)
    reference = baseline(overall.reference_passed, overall.reference_trials)
    ran = (overall.null_passed, overall.reference_passed) != (None, None)
    compared = ran or not report.summary.scenarios  # which run neither
    failures = Text(", ").join(
        Text(f"{count:,} {name}") for name, count in sorted(overall.failures.items())
    )
    times = overall.duration_ns
    cost = f"{money(overall.usd_micro)}, {big(overall.tokens)} tokens"
    if overall.trials:
        cost += f", {money(overall.usd_micro / overall.trials)} a trial"
    wasted = report.summary.wasted_attempts
    waste = (
        f"{plural(wasted, 'attempt')} retried or cut off, {money(report.summary.wasted_usd_micro)}"
    )
    return [
        ("Pass rate", _rate(overall, signs)),
        ("Repeats", Text(again)),
        *([("Baselines", Text(f"null {null}, reference {reference}"))] if compared else []),
        ("Failures", failures or Text("none")),
        *([("Flaky", _flaky(report))] if flaky_of(report) else []),
        ("Cost", Text(cost)),
        *([("Wasted", Text(waste))] if wasted else []),
        ("Trial", Text(f"p50 {duration(times.get('p50'))}, p95 {duration(times.get('p95'))}")),
        (
            "Model call",
            Text(f"p50 {duration(latency.get('p50'))}, p95 {duration(latency.get('p95'))}"),
        ),
    ]


def _flaky(report: RunReport) -> Text:
    """Those that pass and fail, apart from those that fail."""
    cases = flaky_of(report)
    share = f"{len(cases)} of {plural(report.summary.overall.cases, 'case')}"
    return Text(f"{share}: {some([line(case.id, 80) for case in cases])}", "yellow")


def _rate(score: Score, signs: Glyphs, cells: int = 24) -> Text:
    """A bar of the interval with the estimate on it, then both in numbers."""
    if score.rate is None:
        return Text("not measured")
    low, at, high = (
        min(cells - 1, int(share * cells))
        for share in (score.rate.low, score.rate.estimate, score.rate.high)
    )
    bar = Text()
    for cell in range(cells):
        if cell == at:
            bar.append(signs.point, "bold cyan")
        elif low <= cell <= high:
            bar.append(signs.band, "cyan")
        else:
            bar.append(signs.track, "dim")
    interval = f"{percent(score.rate.low)} to {percent(score.rate.high)}"
    return Text.assemble(bar, "  ", (percent(score.rate.estimate), "bold"), f"  ({interval})")


def _cautions(console: Console, sentences: Sequence[str], notes: Sequence[str]) -> None:
    if not sentences and not notes:
        return
    console.print()
    grid = Table.grid(padding=(0, 1))
    for sentence in sentences:
        grid.add_row(Text("!", "bold yellow"), Text(line(sentence, 400)))
    for note in notes:
        grid.add_row(Text("-", "dim"), Text(line(note, 400)))
    console.print(grid)


def _worst(console: Console, report: RunReport, signs: Glyphs) -> None:
    missed = worst_first(cases_of(report))
    if not missed:
        return
    console.print()
    grid = Table.grid(padding=(0, 2))
    for column in ("", "passed", "case", "why"):
        grid.add_column(overflow="fold", ratio=1 if column == "why" else None)
    for case in missed[:5]:
        name = Text(clean(case.id), "bold")
        if case.flaky:
            name.append(" flaky", "yellow")
        grid.add_row(
            Text(f"  {signs.state(case.state)}", STYLES[case.state]),
            Text(f"{case.score.passed}/{case.score.measured}"),
            name,
            Text(why(case.first) if case.first else ""),
        )
    console.print(grid)
    if len(missed) > 5:
        console.print(Text(f"     and {len(missed) - 5} more", "dim"))


def _groups(console: Console, title: str, scores: Sequence[Score]) -> None:
    table = _table(title, "Trials", "Pass rate", f"pass^{scores[0].k}")
    for score in scores:
        rate = score.rate
        said = "not measured"
        if rate is not None:
            said = f"{percent(rate.estimate)} ({percent(rate.low)} to {percent(rate.high)})"
        hat = percent(score.pass_hat.get(str(score.k)))
        table.add_row(clean(score.name), f"{score.measured}/{score.trials}", said, hat)
    console.print(table)


def _cases(console: Console, cases: Sequence[CaseResult], signs: Glyphs) -> None:
    table = _table("Case", "Repeats", "Cost", "Why")
    for case in cases:
        dots = _dots([state_of(row) for row in case.rows], signs)
        name = Text(clean(case.id))
        if case.flaky:
            name.append(" flaky", "yellow")
        first = case.first
        table.add_row(name, dots, money(case.score.usd_micro), Text(why(first) if first else ""))
    console.print(table)


def _dots(states: Sequence[State], signs: Glyphs) -> Text:
    """A sign per trial; of very many, how many there are of each."""
    if len(states) <= _DOTS:
        signed = [(signs.state(state), STYLES[state]) for state in states]
        return Text.assemble(*signed)
    counts = [(state, states.count(state)) for state in _STATES if state in states]
    signed = [(f"{count:,} {signs.state(state)}  ", STYLES[state]) for state, count in counts]
    return Text.assemble(*signed)


def _pairs(console: Console, pairs: Sequence[tuple[str, Text]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(f"  {name}", "dim"), value)
    console.print(grid)


def _commands(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Paths and commands, each on one line however long, so that it can be copied."""
    for name, value in pairs:
        console.print(Text.assemble((f"  {name:<10}", "dim"), clean(value)), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
    right: dict[str, Any] = {"justify": "right", "no_wrap": True}
    for name in columns:
        given = right if name in ("Time", "Cost", "Calls", "Trials") else {"overflow": "fold"}
        table.add_column(name, **given)
    return table
