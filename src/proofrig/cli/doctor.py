"""`proofrig doctor`: what this machine has, what it lacks, and what to do about it.

Each check tries the thing itself; it never looks for a file and believes it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import click

from proofrig.cli.options import root_option, store_option

Check = Callable[[Path, str], str]
GIB = 1 << 30


class Unwell(Exception):
    """A check that failed; the text says what to do."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@root_option
@store_option
def command(as_json: bool, root: Path, store: str) -> int:
    """Check that this machine can run proofrig."""
    rows = []
    for name, check in CHECKS.items():
        try:
            rows.append((name, True, check(root, store)))
        except Unwell as problem:
            rows.append((name, False, str(problem)))
        except Exception as error:
            rows.append((name, False, f"{type(error).__name__}: {error}"))
    if as_json:
        import json

        click.echo(json.dumps([{"check": n, "ok": ok, "found": text} for n, ok, text in rows]))
    else:
        for name, ok, text in rows:
            mark = click.style("ok  ", fg="green") if ok else click.style("FAIL", fg="red")
            click.echo(f"{mark} {name:<20} {text}")
    return 0 if all(ok for _, ok, _ in rows) else 6


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


def _sandbox(root: Path, store: str) -> str:
    from proofrig.sandboxes.process import ProcessSandbox
    from proofrig.sandboxes.sandbox import Command

    async def probe() -> str:
        sandbox = ProcessSandbox()
        try:
            argv = [sys.executable, "-c", "print('hello')"]
            end = await sandbox.run(Command(argv=argv, env=dict(os.environ), cwd=os.getcwd()))
        finally:
            await sandbox.close()
        if end.code != 0:
            raise Unwell(f"a process in a box ended with {end.code}: {end.stderr.decode()[-200:]}")
        return f"process boxes work ({end.max_rss_bytes >> 20} MiB for an empty interpreter)"

    return asyncio.run(probe())


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


CHECKS: dict[str, Check] = {
    "python": _python,
    "packages": _packages,
    "place for runs": _place,
    "store": _store,
    "open files": _files,
    "clock": _clock,
    "sandbox: process": _sandbox,
    "a run, end to end": _end_to_end,
}
