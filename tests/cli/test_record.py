"""`proofrig record` takes what `run` takes, but for what belongs to replays."""

from __future__ import annotations

from click.testing import CliRunner

from proofrig.cli import record, run
from proofrig.cli.main import cli


def test_its_options_are_those_of_a_run_that_replays_nothing() -> None:
    ours = {one.name for one in record.command.params}
    theirs = {one.name for one in run.command.params}
    assert theirs - ours == {"replay", "mode", "timing", "replay_tools", "record"}
    assert not ours - theirs


def test_what_belongs_to_replays_is_unknown_here() -> None:
    result = CliRunner().invoke(cli, ["record", ".", "--replay", "last"])
    assert result.exit_code == 2
    assert "--replay" in result.output
