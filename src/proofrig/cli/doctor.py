"""`proofrig doctor`: what this machine has, what it lacks, and what to do about it.

    ok    it works, shown by doing it
    no    this machine does not have it, and proofrig does without (a level of sandboxes)
    look  something wants to be done, when there is time
    FAIL  proofrig cannot do without it

Each check tries the thing itself; it never looks for a file and believes it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from proofrig.cli.options import root_option, store_option
from proofrig.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["ok", "no", "look", "FAIL"]
GIB = 1 << 30
COLOURS = {"ok": "green", "no": "yellow", "look": "yellow", "FAIL": "red"}
INDENT = 26  # of what is said about a check
WIDTH = 120


class Unwell(Exception):
    """A check that failed; the text says what to do."""


class Check(NamedTuple):
    """A check by its name. `run` returns what was found, and raises where it is not well;
    `otherwise`: the state that it has then."""

    name: str
    group: str
    run: Callable[[Path, str], str]
    otherwise: State = "FAIL"


class Row(NamedTuple):
    """What a check came to."""

    check: str
    state: State
    found: str


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--only",
    metavar="WORD",
    default="",
    help="Only the checks with WORD in their name, or of the group: basics, sandboxes.",
)
@click.option("--clean", is_flag=True, help="Remove what killed runs left of their boxes.")
@root_option
@store_option
def command(as_json: bool, only: str, clean: bool, root: Path, store: str) -> int:
    """Check that this machine can run proofrig."""
    if clean:
        from proofrig.cli.doctor_sandboxes import clean_up

        return clean_up(as_json)
    rows = []
    for check in _chosen(only):
        rows.append(_try(check, root, store))
        if not as_json:
            _print(rows[-1])
    if as_json:
        import json

        click.echo(json.dumps([row._asdict() for row in rows]))
    return 6 if any(row.state == "FAIL" for row in rows) else 0


def _chosen(only: str) -> list[Check]:
    from proofrig.cli.doctor_sandboxes import CHECKS as SANDBOXES

    checks = [*BASICS, *SANDBOXES]
    chosen = [
        check
        for check in checks
        if only in ("", check.name, check.group, *re.split(r"\W+", check.name))
    ]
    if not chosen:
        names = ", ".join(check.name for check in checks)
        raise UsageError(f"--only: no check has {only!r} in its name; there are: {names}")
    return chosen


def _try(check: Check, root: Path, store: str) -> Row:
    try:
        return Row(check.name, "ok", check.run(root, store))
    except (Unwell, UsageError) as problem:
        return Row(check.name, check.otherwise, str(problem))
    except Exception as error:
        return Row(check.name, check.otherwise, f"{type(error).__name__}: {error}")


def _print(row: Row) -> None:
    mark = click.style(f"{row.state:<4}", fg=COLOURS[row.state])
    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns) - INDENT
    lines = textwrap.wrap(row.found, max(40, width), break_on_hyphens=False, break_long_words=False)
    text = f"\n{' ' * INDENT}".join(lines)
    click.echo(f"{mark} {row.check:<20} {text}")


def _python(root: Path, store: str) -> str:
    return f"{sys.version.split()[0]} at {sys.executable}"


def _packages(root: Path, store: str) -> str:
    from importlib import metadata

    names = ("proofrig", "aiohttp", "uvloop", "msgspec", "pydantic", "mcp")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _place(root: Path, store: str) -> str:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root) as file:
        file.write(b"x" * 4096)
        file.flush()
        os.fsync(file.fileno())
    stat = os.statvfs(root)
    free = stat.f_bavail * stat.f_frsize
    if free < GIB:
        raise Unwell(f"{root.absolute()} has {free / GIB:.2f} GiB free; runs want at least 1 GiB")
    return f"{root.absolute()} is writable, {free / GIB:.0f} GiB free"


def _store(root: Path, store: str) -> str:
    from proofrig.conclusion import Options
    from proofrig.store import Store

    opened = Store(Options(root=root, store=store).store_url())
    count = len(opened.runs(limit=1_000))
    opened.close()
    return f"opens, {count} runs"


def _files(root: Path, store: str) -> str:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        raise Unwell(
            f"only {soft} files may be open (hard limit {hard}); 50 concurrent trials want 1024: "
            "raise it with `ulimit -n 4096`"
        )
    return f"{soft} open files allowed"


def _clock(root: Path, store: str) -> str:
    import time

    steps = [time.monotonic_ns() for _ in range(1_000)]
    worst = max(b - a for a, b in pairwise(steps))
    if worst > 50_000_000:
        raise Unwell(f"the clock jumped by {worst / 1e6:.0f} ms: the machine is overloaded")
    return f"steady, largest step {worst / 1e3:.0f} us"


def _end_to_end(root: Path, store: str) -> str:
    from proofrig.conclusion import Options
    from proofrig.evaluation import run
    from proofrig.suites import load_suite
    from proofrig.suites.scaffold import write_scaffold

    with tempfile.TemporaryDirectory(prefix="proofrig-") as folder:
        place = Path(folder)
        write_scaffold(place)
        suite = load_suite(place / "suite.yaml")
        options = Options(root=place / "runs", repeats=1, store=f"sqlite:///{place}/store.db")
        _, conclusion = asyncio.run(run(suite, place / "suite.yaml", options))
    overall = conclusion.summary.overall
    if overall.measured != overall.trials or not overall.llm_calls:
        raise Unwell(
            f"{overall.trials - overall.measured} of {overall.trials} trials were not measured: "
            f"{overall.failures}; run `proofrig init x && proofrig run x` to see why"
        )
    return f"{overall.trials} trials, {overall.llm_calls} model calls through the gateway"


BASICS = [
    Check(name, "basics", run)
    for name, run in {
        "python": _python,
        "packages": _packages,
        "place for runs": _place,
        "store": _store,
        "open files": _files,
        "clock": _clock,
        "a run, end to end": _end_to_end,
    }.items()
]
