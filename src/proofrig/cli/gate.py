"""`proofrig gate`: ask the gates of a run that is over."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import (
    baseline_option,
    gates_option,
    output_option,
    root_option,
    run_argument,
    store_option,
)


@click.command("gate")
@run_argument
@click.option("--suite", type=click.Path(path_type=Path), help="Where the suite is now.")
@baseline_option
@gates_option
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="The pass rate must be at least PERCENT.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the verdict.")
@output_option
@root_option
@store_option
def command(
    run: str,
    *,
    suite: Path | None,
    baseline: str,
    gates: tuple[str, ...],
    fail_under: float | None,
    as_json: bool,
    quiet: bool,
    outputs: tuple[Path, ...],
    root: Path,
    store: str,
) -> int:
    """Ask of RUN what its suite asks now, and what is asked here. No agent runs.

    Exit codes: 0 every gate passes, 1 one fails, 2 usage, 4 one is inconclusive, 5 no gate.
    """
    from proofrig.cli.conclusion import check_outputs, read_conclusion
    from proofrig.cli.conclusion import conclude as report
    from proofrig.cli.options import find_run, suite_of
    from proofrig.conclusion import Options, Run, conclude
    from proofrig.trials import manifest as manifests
    from proofrig.trials.rundir import locked

    check_outputs(outputs)
    options = Options(root=root, store=store, baseline=baseline, gates=gates, fail_under=fail_under)
    run_dir = find_run(run, options)
    before = read_conclusion(run_dir)
    manifest = manifests.read(run_dir)
    loaded = suite_of(manifest, suite)
    with locked(run_dir):
        held = Run(loaded, run_dir, manifest, options)
        told = [line for line in before.problems if line not in before.cuts]  # which it says again
        conclusion = conclude(held, before.status, told)
    code = report(loaded, run_dir, conclusion, options, outputs, as_json=as_json, quiet=quiet)
    if not conclusion.gates:
        click.echo("no gate was asked: write `gates:` in the suite, or give --gate", err=True)
        return 5
    return code
