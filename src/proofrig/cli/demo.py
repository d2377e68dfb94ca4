"""`proofrig demo`: what authority over agents does, in half a minute, offline."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from proofrig.cli.options import root_option


@click.command("demo")
@click.option("--short", is_flag=True, help="Cut the runaway agent off sooner.")
@root_option
def command(short: bool, root: Path) -> int:
    """Show a runaway agent with and without authority, and four that are stopped.

    Exit codes: 0 everything came out as promised, 1 something did not, 6 a run could not take
    place, 130 interrupted.
    """
    from proofrig.demo.screen import Screen
    from proofrig.demo.show import Demo
    from proofrig.reports.console import make_console

    for number in (signal.SIGTERM, signal.SIGHUP):  # end what was started, as on Ctrl-C
        signal.signal(number, signal.default_int_handler)
    return 0 if Demo(Screen(make_console()), root, short).perform() else 1
