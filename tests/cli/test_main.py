"""The door: fast help, verbs that exist, help with typos."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from proofrig.cli.main import VERBS, cli

HEAVY = ("aiohttp", "pydantic", "rich", "sqlalchemy", "numpy", "scipy", "mcp", "jinja2", "yaml")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_loads_and_explains_itself(verb: str) -> None:
    command = importlib.import_module(f"proofrig.cli.{verb}").command
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {verb}")


def test_help_lists_every_verb() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for verb, words in VERBS.items():
        assert f"  {verb} " in output
        assert words in output


def test_help_loads_nothing_of_weight() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from proofrig.cli.main import cli; "
        "CliRunner().invoke(cli, ['--help']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["xyzzy"], "there are: demo, init, validate"),
        (["run", "--repaet", "3"], "--repeat"),
        (["run", "--repeat", "0"], "expected a number from 1 to 10000, or auto"),
    ],
)
def test_typos_are_helped(words: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert said in result.output
