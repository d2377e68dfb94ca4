"""`proofrig resume`: run what is missing of a run that was cut off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from proofrig.cli.options import output_option, root_option, run_argument, store_option


@click.command("resume")
@run_argument
@click.option("--suite", type=click.Path(path_type=Path), help="Where the suite is now.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="PERCENT")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the verdict.")
@output_option
@root_option
@store_option
def command(
    run: str,
    suite: Path | None,
    fail_under: float | None,
    as_json: bool,
    quiet: bool,
    outputs: tuple[Path, ...],
    root: Path,
    store: str,
) -> int:
    """Run what is missing of RUN: an id, the beginning of one, a path, or `last`."""
    from proofrig.cli.conclusion import check_outputs, conclude
    from proofrig.cli.options import find_run, suite_of
    from proofrig.cli.progress import Reporter
    from proofrig.conclusion import Options
    from proofrig.evaluation import resume
    from proofrig.trials import manifest as manifests

    check_outputs(outputs)
    options = Options(root=root, store=store, fail_under=fail_under)
    run_dir = find_run(run, options)
    loaded = suite_of(manifests.read(run_dir), suite)
    with Reporter(loaded.name, silent=quiet or as_json) as reporter:
        conclusion = asyncio.run(resume(loaded, run_dir, options, reporter.update))
    return conclude(loaded, run_dir, conclusion, options, outputs, as_json=as_json, quiet=quiet)
