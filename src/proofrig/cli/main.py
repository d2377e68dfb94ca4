"""The command line: a table of verbs, each loaded only when it is called.

Rules:
1. `proofrig --help` loads click and nothing else of weight: the verbs' short texts stand here.
2. An error of the user's is one message, never a traceback; ours is a message with the traceback in
   a file. The exit codes are those of `conclusion.ExitCode`.
"""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches

import click

VERBS = {
    "demo": "See a runaway agent stopped, and four more: half a minute, offline.",
    "init": "Write a small suite that runs at once.",
    "validate": "Check a suite without running it.",
    "run": "Run a suite.",
    "record": "Run a suite and record what comes from outside.",
    "resume": "Run what is missing of a run that was cut off.",
    "show": "Show a run, a case, or the trace of a trial.",
    "list": "List the runs in the store.",
    "trend": "Show how a suite's figures went over its runs.",
    "report": "Write a run's report as HTML, JSON, JUnit XML or Markdown.",
    "baseline": "Keep a run as what later runs are held against.",
    "gate": "Ask the gates of a run that is over.",
    "compare": "Hold a run against another, or against a baseline.",
    "rescore": "Judge a stored run again, without running the agent.",
    "cassette": "Check a recording, and seal what was edited in it.",
    "image": "Build what lies around agents in their boxes, and look at it.",
    "authority": "Serve permission and budget for actions over HTTP.",
    "policy": "Try a policy on a recorded run, and find what has no effect.",
    "doctor": "Check that this machine can run proofrig.",
}


class Verbs(click.Group):
    """Loads `proofrig.cli.<verb>` when the verb is called, and helps with typos."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"proofrig.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            close = get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(VERBS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `proofrig init`, then `proofrig run`. No key and no network are needed.",
)
@click.version_option(package_name="proofrig", prog_name="proofrig")
def cli() -> None:
    """The test rig that runs AI agents the way production will."""


def main() -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        code = 130
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except BrokenPipeError:
        sys.stderr.close()  # whoever reads us has gone; Python would complain about it
        code = 0
    except Exception as error:
        from proofrig.cli.trouble import explain

        code = explain(error)
    sys.exit(code if isinstance(code, int) else 0)
