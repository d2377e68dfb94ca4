"""The end of a run on the command line: summary, reports, exit code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proofrig.conclusion import Conclusion, Options
    from proofrig.reports.report import RunReport
    from proofrig.suites import Suite


def check_outputs(outputs: Iterable[Path]) -> None:
    """Refuse a report that could not be written before the run begins. Raises UsageError."""
    from proofrig.reports.report import renderer

    for path in outputs:
        renderer(path)


def report_of(
    suite: Suite | None, run_dir: Path, conclusion: Conclusion, options: Options
) -> RunReport:
    """Everything a report shows. Without the suite, tags and difficulties are not known."""
    from proofrig.conclusion import case_facts
    from proofrig.errors import InfraError
    from proofrig.reports.report import gather_report
    from proofrig.store import Store
    from proofrig.trials import manifest as manifests

    try:
        store = Store(options.store_url())
        trend = store.trend(manifests.read(run_dir).suite)
        store.close()
    except InfraError:
        trend = []
    facts = case_facts(suite) if suite else ()
    return gather_report(run_dir, conclusion, trend=trend, facts=facts)


def conclude(
    suite: Suite,
    run_dir: Path,
    conclusion: Conclusion,
    options: Options,
    outputs: Iterable[Path] = (),
    *,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Write the reports and print the summary; returns the exit code."""
    import msgspec

    from proofrig.reports.reading import verdict_of
    from proofrig.reports.report import write_report

    report = report_of(suite, run_dir, conclusion, options)
    written = [run_dir / "report.html", *outputs]
    for path in written:
        write_report(report, path)
    if as_json:
        text = msgspec.json.encode(conclusion)
        click.echo(msgspec.json.format(text, indent=2).decode())
    elif quiet:
        verdict = verdict_of(report)
        click.echo(f"{verdict.word}: {verdict.says}")
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal import print_summary

        print_summary(make_console(), report, written)
    return conclusion.exit_code


def read_conclusion(run_dir: Path) -> Conclusion:
    """What a run came to when it last ended. Raises UsageError for one that never did."""
    from proofrig.baselining import concluded
    from proofrig.conclusion import Conclusion

    return concluded(run_dir, Conclusion)
