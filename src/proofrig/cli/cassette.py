"""`proofrig cassette`: check a recording, and seal what was edited in it on purpose."""

from __future__ import annotations

from pathlib import Path

import click

from proofrig.cli.options import root_option, store_option

_RUN = click.argument("cassette", default="last")


@click.group("cassette")
def command() -> None:
    """Look after recordings. CASSETTE is a run (an id, the beginning of one, a path, `last`) or the
    folder of a cassette."""


@command.command("check")
@_RUN
@root_option
@store_option
def check(cassette: str, root: Path, store: str) -> int:
    """Say what was changed in CASSETTE since it was recorded, field by field; exits with 2 when
    something was."""
    from proofrig.cassettes.cassette import check as problems_of
    from proofrig.cassettes.manifest import read
    from proofrig.cli.replaying import folder_of_cassette
    from proofrig.conclusion import Options
    from proofrig.errors import SuiteError

    folder = folder_of_cassette(cassette, Options(root=root, store=store))
    if problems := problems_of(folder):
        raise SuiteError(problems)
    manifest = read(folder)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.counts.items())
    taken = ", ".join(f"{count} {kind}" for kind, count in manifest.redaction.taken.items())
    click.echo(f"{folder}: unchanged since it was sealed")
    click.echo(f"  holds     {counts}\n  left out  {taken or 'nothing'}")
    return 0


@command.command("seal")
@_RUN
@root_option
@store_option
def seal(cassette: str, root: Path, store: str) -> int:
    """Take what was edited in CASSETTE as it is now, so that it replays."""
    from proofrig.cassettes.cassette import check as problems_of
    from proofrig.cassettes.writer import reseal
    from proofrig.cli.replaying import folder_of_cassette
    from proofrig.conclusion import Options

    folder = folder_of_cassette(cassette, Options(root=root, store=store))
    changed = len(problems_of(folder))
    reseal(folder)
    click.echo(f"{folder}: sealed; {changed} exchange{'' if changed == 1 else 's'} had changed")
    return 0
