"""Errors, as a person wants to read them."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback

import click

from proofrig.errors import InfraError, SuiteError, UsageError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def explain(error: Exception) -> int:
    """Print what happened and what to do; returns the exit code."""
    if os.environ.get("PROOFRIG_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, SuiteError):
        count = len(error.problems)
        for problem in error.problems:
            click.echo(f"{click.style('error', fg='red', bold=True)} {problem}", err=True)
        click.echo(f"\n{count} problem{'s' if count != 1 else ''}; nothing was run.", err=True)
        return 2
    if isinstance(error, UsageError):
        click.echo(f"{click.style('error', fg='red', bold=True)} {error}", err=True)
        return 2
    if isinstance(error, InfraError):
        click.echo(f"{click.style('stopped', fg='red', bold=True)} {error}", err=True)
        return 6
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f" at {error.filename}" if error.filename else ""
        click.echo(
            f"{click.style('stopped', fg='red', bold=True)} nothing can be written{where}: "
            f"{error.strerror}. What finished is safe; make room, then `proofrig resume`.",
            err=True,
        )
        return 6
    text = "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile("w", prefix="proofrig-", suffix=".txt", delete=False) as file:
        file.write(text)
    click.echo(
        f"{click.style('internal error', fg='red', bold=True)} {type(error).__name__}: {error}\n"
        f"This is a fault of proofrig, not of your agent. The traceback is in {file.name}.",
        err=True,
    )
    return 3
