"""Options that several verbs share, and finding the run that is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proofrig.conclusion import Options
    from proofrig.suites import Suite
    from proofrig.suites.gates import BaselineSettings
    from proofrig.trials.manifest import Manifest

root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PROOFRIG_ROOT",
    default=Path(".proofrig"),
    show_default=True,
    help="Where runs are kept.",
)
store_option = click.option(
    "--store", envvar="PROOFRIG_STORE", default="", help="Store URL; default: SQLite in the root."
)
run_argument = click.argument("run", default="last")
output_option = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a report; the suffix says which: .html .json .xml (JUnit) .md .sarif "
    ".annotations (GitHub). Repeatable.",
)


baseline_option = click.option(
    "--baseline",
    default="",
    metavar="REF",
    help="Hold the run against REF: a run, a branch, or a baseline's file.",
)
gates_option = click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="EXPRESSION",
    help="Ask this of the run, such as 'accuracy >= 90 %'. Repeatable.",
)
against_option = click.option(
    "--against", default="", metavar="RUN", help="Hold the calls against those of an earlier run."
)


def find_run(run: str, options: Options) -> Path:
    """The directory of the run that `run` names, see `baselining.find_run`. Raises UsageError."""
    from proofrig.baselining import find_run

    return find_run(run, options.root, options.store_url())


def held_against(run: str, options: Options) -> Options:
    """The options, with the run that `run` names as what the calls are held against; as they are
    when it names none. Raises UsageError, see `find_run`."""
    return replace(options, against=find_run(run, options)) if run else options


def suite_of(manifest: Manifest, given: Path | None = None) -> Suite:
    """The suite that a run was made from, or the one that is given instead."""
    from proofrig.errors import UsageError
    from proofrig.suites import load_suite

    path = given or Path(manifest.suite_path)
    if not path.exists():
        raise UsageError(
            f"the suite of run {manifest.run} was {path}, which is not there any more; "
            "say where it is with --suite"
        )
    return load_suite(path)


def baseline_of(suite_path: str) -> BaselineSettings:
    """What a suite says of baselines, as it is now; the defaults where it is gone. Raises
    UsageError for one that is broken."""
    from proofrig.suites import load_suite
    from proofrig.suites.gates import BaselineSettings

    there = suite_path and Path(suite_path).exists()
    return load_suite(suite_path).baseline if there else BaselineSettings()
