"""`proofrig list`: the runs in the store."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import root_option, store_option


@click.command("list")
@click.option("--suite", default="", help="Only runs of this suite.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@root_option
@store_option
def command(suite: str, limit: int, as_json: bool, root: Path, store: str) -> None:
    """List the latest runs, newest first."""
    import msgspec

    from proofrig.evaluation import Options
    from proofrig.store import Store

    opened = Store(Options(root=root, store=store).store_url())
    records = opened.runs(suite, limit)
    rates = {record.run: opened.rate(record.run) for record in records}
    opened.close()
    if as_json:
        rows = [msgspec.to_builtins(record) | {"rate": rates[record.run]} for record in records]
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    else:
        from proofrig.reports.console import make_console
        from proofrig.reports.terminal import print_runs

        print_runs(make_console(), records, rates)
