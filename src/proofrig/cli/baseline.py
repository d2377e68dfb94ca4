"""`proofrig baseline`: what later runs are held against, by branch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofrig.cli.options import root_option, run_argument, store_option

if TYPE_CHECKING:
    from proofrig.comparisons.sample import Sample
    from proofrig.conclusion import Options
    from proofrig.store import BaselineRecord

_SUITE = click.option("--suite", default="", help="Of this suite, where the store has several.")


@click.group("baseline")
def command() -> None:
    """Keep runs as what later runs are held against.

    Runs on the main branch are kept by themselves, unless the suite says otherwise.
    """


@command.command("set")
@run_argument
@click.option("--branch", default="", help="For which branch; default: the one the suite names.")
@click.option("--anyway", is_flag=True, help="Even if it regressed or was not measured well.")
@root_option
@store_option
def set_command(run: str, branch: str, anyway: bool, root: Path, store: str) -> None:
    """Keep RUN, for as long as nobody sets another.

    From now on runs are held against it and those that are kept after it.
    """
    import time

    from proofrig.baselining import keep, objection_to, read_sample
    from proofrig.branches import DIRTY
    from proofrig.cli.options import baseline_of, find_run
    from proofrig.conclusion import Options
    from proofrig.errors import UsageError
    from proofrig.trials import manifest as manifests

    options = Options(root=root, store=store)
    run_dir = find_run(run, options)
    sample = read_sample(run_dir)
    settings = baseline_of(manifests.read(run_dir).suite_path)
    objection = objection_to(run_dir, sample, settings.infra_ceiling)
    if objection and (objection.final or not anyway):
        way = "" if objection.final else "; --anyway keeps it all the same"
        raise UsageError(f"run {run_dir.name} is not fit for a baseline: {objection.says}{way}")
    branch = branch or settings.branch
    keep(sample, branch, options.store_url(), time.time_ns(), pinned=True)
    click.echo(f"{run_dir.name} is now the baseline of {sample.suite} on {branch}")
    if objection:
        click.echo(f"  although {objection.says}")
    if sample.commit.endswith(DIRTY):
        click.echo("  what ran was not what is committed")


@command.command("list")
@click.option("--suite", default="", help="Only those of this suite.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@root_option
@store_option
def list_command(suite: str, as_json: bool, root: Path, store: str) -> None:
    """List the baselines, newest first."""
    from proofrig.conclusion import Options

    records = _records(Options(root=root, store=store), suite)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(records), indent=2).decode())
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal_baseline import print_baselines

        print_baselines(make_console(), records)


@command.command("show")
@click.argument("ref", default="")
@_SUITE
@click.option("--json", "as_json", is_flag=True, help="Print all of it, as a baseline's file.")
@root_option
@store_option
def show(ref: str, suite: str, as_json: bool, root: Path, store: str) -> None:
    """Show what runs are held against.

    It prints which runs it is, and how each case did in them. REF is a branch, a run (an id, the
    beginning of one, a path, `last`) or a baseline's file; default: what was kept last.
    """
    from proofrig.conclusion import Options

    sample = _sample(ref, suite, Options(root=root, store=store))
    if as_json:
        from proofrig.comparisons.baseline import render

        click.echo(render(sample), nl=False)
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal_baseline import print_baseline

        print_baseline(make_console(), sample)


@command.command("export")
@click.argument("names", nargs=-1, required=True, metavar="[REF] FILE")
@_SUITE
@root_option
@store_option
def export(names: tuple[str, ...], suite: str, root: Path, store: str) -> None:
    """Write a baseline to FILE (*.json).

    It stands for the store where there is none. REF is as in `proofrig baseline show`.
    """
    from proofrig.comparisons.baseline import write_file
    from proofrig.conclusion import Options
    from proofrig.errors import UsageError
    from proofrig.reports.words import plural

    *refs, name = names
    if len(refs) > 1 or not name.endswith(".json"):
        given = " ".join(names)
        raise UsageError(f"expected [REF] and a FILE that ends with .json, got: {given}")
    sample = _sample("".join(refs), suite, Options(root=root, store=store))
    write_file(Path(name), sample)
    runs, trials = plural(len(sample.runs), "run"), plural(len(sample.trials), "trial")
    click.echo(f"{name}: {runs} of {sample.suite}, {trials}")


def _records(options: Options, suite: str = "") -> list[BaselineRecord]:
    from proofrig.store import Store

    store = Store(options.store_url())
    try:
        return store.baselines(suite)
    finally:
        store.close()


def _sample(ref: str, suite: str, options: Options) -> Sample:
    """What `ref` names. Raises UsageError."""
    from proofrig.baselining import find_sample

    return find_sample(ref, options.root, options.store_url(), suite=suite)
