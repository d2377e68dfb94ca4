"""`proofrig record`: a run that keeps what came from outside, to be replayed."""

from __future__ import annotations

from typing import Any

import click

from proofrig.cli import run

_NOT_HERE = {"replay", "mode", "timing", "replay_tools", "record"}


@click.command("record", params=[one for one in run.command.params if one.name not in _NOT_HERE])
def command(**asked: Any) -> int:
    """Run SUITE (a file or a folder; default: here) and record what models, remote tools and other
    hosts answer.

    The recording lies in the run's folder, under `cassette`: readable, without keys, with the times
    of every chunk. `proofrig run SUITE --replay RUN` runs the suite against it, offline. The exit
    codes are those of `run`.
    """
    missing = dict.fromkeys(_NOT_HERE)
    said: dict[str, Any] = {**missing, **asked, "record": True}
    return run.carry_out(**said)
