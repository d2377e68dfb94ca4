"""`proofrig list`: the runs in the store, and those below the root that the store does not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofrig.cli.options import root_option, store_option

if TYPE_CHECKING:
    from proofrig.store import RunRecord


@click.command("list")
@click.option("--suite", default="", help="Only runs of this suite.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@root_option
@store_option
def command(suite: str, limit: int, as_json: bool, root: Path, store: str) -> None:
    """List the latest runs, newest first."""
    import msgspec

    from proofrig.conclusion import Options
    from proofrig.store import Store

    opened = Store(Options(root=root, store=store).store_url())
    records = opened.runs(suite, limit)
    rates = {record.run: opened.rate(record.run) for record in records}
    opened.close()
    records = sorted([*records, *unconcluded(root, suite)], key=lambda record: -record.started_ns)[
        :limit
    ]
    if as_json:
        rows = [msgspec.to_builtins(run) | {"rate": rates.get(run.run)} for run in records]
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal import print_runs

        print_runs(make_console(), records, rates)


def unconcluded(root: Path, suite: str = "") -> list[RunRecord]:
    """The runs below `root` that came to no result: under way, or cut off by a kill."""
    import msgspec

    from proofrig.baselining import SUMMARY
    from proofrig.store import RunRecord
    from proofrig.trials import manifest as manifests
    from proofrig.trials.rundir import is_held, runs_below

    found = []
    for run_dir in runs_below(root):
        if (run_dir / SUMMARY).is_file():
            continue
        try:
            manifest = manifests.read(run_dir)
        except (OSError, msgspec.DecodeError):
            continue
        if suite in ("", manifest.suite):
            record = RunRecord(
                run=manifest.run,
                suite=manifest.suite,
                suite_digest=str(manifest.what.get("suite_digest", "")),
                path=str(run_dir),
                started_ns=manifest.started_ns,
                status="running" if is_held(run_dir) else "cut off",
                manifest=msgspec.to_builtins(manifest),
            )
            found.append(record)
    return found
