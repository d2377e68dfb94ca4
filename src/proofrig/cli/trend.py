"""`proofrig trend`: a suite's figures over its runs, as a page or in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proofrig.cli.options import root_option, store_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proofrig.comparisons.gate import GateResult
    from proofrig.reports.trend import Line
    from proofrig.reports.trend_lines import Stored
    from proofrig.store import RunRecord, Store

_GATED = 10  # of the latest runs, among which the latest judged one is looked for


@click.command("trend")
@click.argument("suite", default="")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page."
)
@click.option(
    "--figure",
    "figures",
    multiple=True,
    metavar="NAME",
    help="Only this figure, such as p99(latency) or burst:tool_429_rate. Repeatable.",
)
@click.option("--branch", default=None, help="Only runs of this branch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@root_option
@store_option
def command(
    suite: str,
    output: Path | None,
    figures: tuple[str, ...],
    branch: str | None,
    as_json: bool,
    root: Path,
    store: str,
) -> None:
    """Show how the figures of SUITE (its name, or where it is; default: that of the latest run)
    went over its runs: accuracy, the 429 rate under burst, the leak rate, the pool wait, and
    whatever a gate is about."""
    from proofrig.conclusion import Options
    from proofrig.reports.trend import main_of
    from proofrig.reports.trend_lines import lines_of
    from proofrig.store import Store

    options = Options(root=root, store=store)
    opened = Store(options.store_url())
    try:
        name = _suite(opened, suite)
        stored = _stored(opened, name, branch, options.root)
    finally:
        opened.close()
    lines = lines_of(stored, figures)
    held = _held_against(stored.runs, branch)
    drawn = any(point.branch == held for one in lines for point in one.points)
    main = held if drawn or branch is not None else main_of(lines)
    if output is not None:
        from proofrig.reports.report import write_file
        from proofrig.reports.trend import render_trend

        write_file(render_trend(name, lines, main), output, "page")
        click.echo(output)
    elif as_json:
        import msgspec

        plain = msgspec.json.encode(document(name, lines, main))
        click.echo(msgspec.json.format(plain, indent=2).decode())
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal_trend import print_trend

        print_trend(make_console(), name, lines, main)


def document(suite: str, lines: Sequence[Line], main: str) -> dict[str, Any]:
    """The lines as plain values; every key is always there, and what is not known is null."""
    from dataclasses import asdict

    from proofrig.reports.trend import on_main, shifts

    return {
        "schema": "proofrig.trend/1",
        "suite": suite,
        "main": main,
        "lines": [
            {
                "figure": one.name,
                "scenario": one.scenario,
                "title": one.called,
                "unit": one.known.unit,
                "better": one.known.better,
                "baseline": one.baseline,
                "gates": [asdict(bound) for bound in one.bounds],
                "changes": [
                    {"run": shift.first.run, "before": shift.before, "after": shift.after}
                    for shift in shifts(on_main(one, main))
                ],
                "points": [asdict(point) for point in one.points],
                "measure": one.todo,
            }
            for one in lines
        ],
    }


def _suite(store: Store, given: str) -> str:
    """The name of the suite that is meant. Raises UsageError when no run of it is stored."""
    from proofrig.errors import UsageError
    from proofrig.suites import load_suite

    name = load_suite(Path(given)).name if given and Path(given).exists() else given
    records = store.runs(name, 1)
    if records:
        return records[0].suite
    known = list(dict.fromkeys(record.suite for record in store.runs(limit=200)))
    there = f"there are runs of {', '.join(known[:8])}" if known else "there are no runs at all"
    of = f"of the suite {name!r} " if name else ""
    raise UsageError(f"no run {of}is in the store; {there}. Begin with: proofrig run SUITE")


def _stored(store: Store, suite: str, branch: str | None, root: Path) -> Stored:
    import shlex

    from proofrig.places import shortest
    from proofrig.reports.trend import MOST
    from proofrig.reports.trend_lines import Stored

    runs = store.runs(suite, 5 * MOST)
    rates = store.trend(suite)
    if branch is not None:
        own = {record.run for record in runs if record.manifest.get("branch", "") == branch}
        rates = [row for row in rates if row["run"] in own]
    path = str(runs[0].manifest.get("suite_path", "")) if runs else ""
    place = shlex.quote(shortest(Path(path))) if path else "SUITE"
    return Stored(
        measured=store.lines(suite, branch=branch),
        rates=rates,
        runs=runs,
        gates=_gates(runs),
        baseline=_baseline(store, suite, _held_against(runs, branch), root),
        run_again=f"proofrig run {place}",
    )


def _gates(runs: Sequence[RunRecord]) -> list[GateResult]:
    """The gates of the latest run that had any and whose directory is still there."""
    from proofrig.baselining import SUMMARY
    from proofrig.cli.conclusion import read_conclusion

    for record in runs[:_GATED]:
        run_dir = Path(record.path)
        if (run_dir / SUMMARY).is_file() and (gates := read_conclusion(run_dir).gates):
            return gates
    return []


def _held_against(runs: Sequence[RunRecord], branch: str | None) -> str:
    """The branch that is meant: the one that was asked for, else that of the suite's baselines."""
    from proofrig.cli.options import baseline_of
    from proofrig.errors import UsageError

    if branch is not None:
        return branch
    try:
        return baseline_of(str(runs[0].manifest.get("suite_path", "")) if runs else "").branch
    except UsageError:  # the suite is being written: what it came to is drawn all the same
        return baseline_of("").branch


def _baseline(
    store: Store, suite: str, branch: str, root: Path
) -> Mapping[str, Mapping[str, float]] | None:
    """The figures of what runs are held against; None where there is nothing yet."""
    from proofrig.baselining import NoBaseline, Wanted, find_baseline

    wanted = Wanted(suite=suite, root=root, store_url=store.url, branch=branch)
    try:
        return find_baseline("", wanted).measures
    except NoBaseline:
        return None
