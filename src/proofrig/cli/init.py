"""`proofrig init`: a suite that runs at once, with no key and no network."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def command(directory: Path, force: bool) -> None:
    """Write a small suite into DIRECTORY (default: here)."""
    from proofrig.suites.scaffold import write_scaffold

    for path in write_scaffold(directory, force):
        click.echo(f"  {path}")
    where = "" if directory == Path() else f" {directory}"
    click.echo(f"\nNext: proofrig run{where}")
