"""`proofrig rescore`: judge a stored run again, without running the agent."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import (
    against_option,
    output_option,
    root_option,
    run_argument,
    store_option,
)


@click.command("rescore")
@run_argument
@click.option("--suite", type=click.Path(path_type=Path), help="The suite to judge with.")
@click.option("--fail-under", type=click.FloatRange(0, 100), metavar="PERCENT")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, nothing else.")
@against_option
@output_option
@root_option
@store_option
def command(
    run: str,
    suite: Path | None,
    fail_under: float | None,
    as_json: bool,
    against: str,
    outputs: tuple[Path, ...],
    root: Path,
    store: str,
) -> int:
    """Judge RUN again with the suite's verifiers as they are now. No agent runs."""
    from proofrig.cli.conclusion import check_outputs, conclude
    from proofrig.cli.options import find_run, held_against, suite_of
    from proofrig.conclusion import Options
    from proofrig.rescore import rescore
    from proofrig.trials import manifest as manifests

    check_outputs(outputs)
    options = Options(root=root, store=store, fail_under=fail_under)
    run_dir = find_run(run, options)
    options = held_against(against, options)
    loaded = suite_of(manifests.read(run_dir), suite)
    conclusion = rescore(loaded, run_dir, options)
    return conclude(loaded, run_dir, conclusion, options, outputs, as_json=as_json)
