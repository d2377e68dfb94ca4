"""Options that several verbs share, and finding the run that is meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proofrig.conclusion import Options
    from proofrig.suites import Suite
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


against_option = click.option(
    "--against", default="", metavar="RUN", help="Hold the calls against those of an earlier run."
)


def find_run(run: str, options: Options) -> Path:
    """The directory of the run that `run` names: a path, an id, the beginning of one, or `last`.

    Raises UsageError that lists what there is.
    """
    from proofrig.errors import UsageError
    from proofrig.places import RUNS
    from proofrig.store import Store
    from proofrig.trials.rundir import runs_below

    if (Path(run) / "manifest.json").is_file():
        return Path(run).absolute()
    folder = options.root.absolute() / RUNS
    names = [path.name for path in runs_below(options.root)]
    meant = names[-1:] if run == "last" else [name for name in names if name.startswith(run)]
    if run in names or len(meant) == 1:
        return folder / (run if run in names else meant[0])
    if not meant:
        store = Store(options.store_url())
        kept = [record for record in store.find(run) if Path(record.path).is_dir()]
        store.close()
        if len(kept) == 1:
            return Path(kept[0].path)
    if len(meant) > 1:
        raise UsageError(f"{run!r} could be any of: {', '.join(meant[:10])}; write more of it")
    none = "there is none yet: start one with `proofrig run`"
    known = f"the latest are: {', '.join(names[-5:])}" if names else none
    raise UsageError(f"no run {run!r} in {folder}; {known}")


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
