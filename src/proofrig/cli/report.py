"""`proofrig report`: a run's report, again, in any form."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import output_option, root_option, run_argument, store_option


@click.command("report")
@run_argument
@click.option("--suite", type=click.Path(path_type=Path), help="Where the suite is now.")
@output_option
@root_option
@store_option
def command(
    run: str, suite: Path | None, outputs: tuple[Path, ...], root: Path, store: str
) -> None:
    """Write the report of RUN; default: `report.html` in the run's directory."""
    from proofrig.cli.conclusion import check_outputs, read_conclusion, report_of
    from proofrig.cli.options import find_run, suite_of
    from proofrig.conclusion import Options
    from proofrig.errors import UsageError
    from proofrig.reports.report import write_report
    from proofrig.trials import manifest as manifests

    check_outputs(outputs)
    options = Options(root=root, store=store)
    run_dir = find_run(run, options)
    try:
        loaded = suite_of(manifests.read(run_dir), suite)
    except UsageError:
        if suite is not None:
            raise
        loaded = None  # the report lacks tags and difficulties, and stands all the same
    report = report_of(loaded, run_dir, read_conclusion(run_dir), options)
    for path in outputs or (run_dir / "report.html",):
        write_report(report, path)
        click.echo(path)
