"""`proofrig authority serve`: its options, and what it refuses. `end_to_end` runs it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proofrig.cli.main import cli
from proofrig.errors import UsageError


def test_the_options_are_explained() -> None:
    said = CliRunner().invoke(cli, ["authority", "serve", "--help"]).output
    for option in ("--policy", "--journal", "--redis", "--keys", "--host", "--port", "--shadow"):
        assert option in said


def test_a_port_out_of_range_is_refused() -> None:
    done = CliRunner().invoke(cli, ["authority", "serve", "--port", "70000"])
    assert done.exit_code == 2
    assert "70000 is not in the range" in done.output


def test_what_does_not_go_together_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="there are no API keys"):
        CliRunner().invoke(cli, ["authority", "serve", "--host", "0.0.0.0"], catch_exceptions=False)
