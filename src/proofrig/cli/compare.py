"""`proofrig compare`: hold one run against another, or against a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofrig.cli.options import output_option, root_option, store_option

if TYPE_CHECKING:
    from proofrig.comparisons.comparison import Comparison, Terms
    from proofrig.conclusion import Options

EXIT = {"regressed": 1, "inconclusive": 4, "unreliable": 4}


@click.command("compare")
@click.argument("base")
@click.argument("now", default="last")
@click.option("--margin", metavar="SHARE", help="A drop that is still no worse; default: 5 %.")
@click.option("--min-effect", metavar="SHARE", help="The least drop that counts; default: 1 %.")
@click.option(
    "--cases",
    type=click.Choice(["fixed", "sampled"]),
    help="Whether this very suite got worse (default), or new cases of its kind would.",
)
@click.option("--anyway", is_flag=True, help="Compare what was not run alike, and say so.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@output_option
@root_option
@store_option
def command(
    base: str,
    now: str,
    *,
    anyway: bool,
    as_json: bool,
    outputs: tuple[Path, ...],
    root: Path,
    store: str,
    **asked: str | None,
) -> int:
    """Hold NOW (default: the last run) against BASE: runs, branches, or baselines' files.

    Exit codes: 0 improved or no worse, 1 regressed, 4 inconclusive or unreliable, 2 usage.
    """
    import msgspec

    from proofrig.baselining import find_sample
    from proofrig.cli.conclusion import check_outputs
    from proofrig.comparisons.comparable import impossible, refusal
    from proofrig.comparisons.comparing import compare
    from proofrig.conclusion import Options
    from proofrig.errors import UsageError
    from proofrig.reports.console import make_console
    from proofrig.reports.terminal_comparison import print_comparison

    check_outputs(outputs)
    options = Options(root=root, store=store)
    held = find_sample(now, root, options.store_url())
    against = find_sample(base, root, options.store_url(), held=held)
    no = impossible(against, held) if anyway else refusal(against, held)
    if no:
        raise UsageError(no if anyway else f"{no} (--anyway)")
    found = compare(against, held, _terms(asked))
    for path in outputs:
        _write(found, now, options, path)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print_comparison(make_console(), found)
    return EXIT.get(found.verdict, 0)


def _terms(asked: Mapping[str, str | None]) -> Terms:
    """What was asked for, in place of what the baseline's settings say by default. Raises
    UsageError."""
    from pydantic import ValidationError

    from proofrig.errors import UsageError
    from proofrig.gating import terms_of
    from proofrig.suites.gates import BaselineSettings

    given = {name: value for name, value in asked.items() if value is not None}
    try:
        return terms_of(BaselineSettings.model_validate(given))
    except ValidationError as error:
        first = error.errors()[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {said}") from None


def _write(found: Comparison, now: str, options: Options, path: Path) -> None:
    """The report of the run NOW, with this comparison in it."""
    import msgspec

    from proofrig.cli.conclusion import read_conclusion, report_of
    from proofrig.cli.options import find_run
    from proofrig.reports.report import write_report

    run_dir = find_run(now, options)
    concluded = msgspec.structs.replace(read_conclusion(run_dir), comparison=found)
    write_report(report_of(None, run_dir, concluded, options), path)
    click.echo(path, err=True)
