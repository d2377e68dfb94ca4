"""What was run where: everything that two runs must share to be compared."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

FILE = "manifest.json"
# What says which run it is, and not under which conditions it ran.
_ITS_OWN = (
    *("run", "started_ns", "suite_path", "baseline", "gates", "branch", "commit", "weaker"),
    "constraints_from",
)


class Manifest(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A run's manifest. `started_ns` is wall-clock nanoseconds since 1970; everything else that a
    run depends on is in `what` (compared) and `where` (compared, reported apart)."""

    run: str
    started_ns: int
    suite: str
    suite_path: str
    repeats: int
    concurrency: int
    seed: int
    baselines: bool = True
    only: list[str] = []  # the selected cases; empty: all
    scenarios: list[str] = []  # in the order in which they run; empty: the plain plan
    agents: int | None = None  # of each scenario, instead of its own number
    tenants: int | None = None  # how many, instead of the suite's
    packs: list[str] = []  # of faults, besides the suite's own
    record: bool = False  # what came from outside is recorded
    replay: dict[str, Any] = {}  # settings of the recording that is replayed, empty: none
    faultless: bool = False  # without the suite's own faults
    fail_under: float | None = None  # percent, where it was asked for beside the suite
    lane: str = ""  # of the suite, under which it was run
    looks: list[int] = []  # repeats at which an adaptive run looks, `repeats` the last; empty: none
    plain: bool = False  # the plain plan as well, before the scenarios
    usd: float | None = None  # what the whole run may spend, dollars
    minutes: float | None = None  # how long the trials of the whole run may take
    baseline: str = ""  # what it is held against, as it was asked for
    gates: list[str] = []  # asked for beside the suite
    branch: str = ""  # of the code that ran, "" where that is not known
    commit: str = ""
    constraints: dict[str, Any] = {}  # of a file given beside the suite, instead of its own
    constraints_from: str = ""  # that file
    weaker: str = ""  # why trials are kept apart no better, where nobody asked for a level
    what: dict[str, Any] = {}
    where: dict[str, Any] = {}


def describe_host() -> dict[str, Any]:
    """The machine and the interpreter."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "system": platform.system(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "versions": {
            name: metadata.version(name) for name in ("proofrig", "aiohttp", "uvloop", "msgspec")
        },
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write(run_dir: Path, manifest: Manifest) -> None:
    """Put the manifest into the run's directory, whole or not at all."""
    fresh = run_dir / f"{FILE}.tmp"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    fresh.replace(run_dir / FILE)


def read(run_dir: Path) -> Manifest:
    """The manifest of a run. Raises FileNotFoundError, or msgspec.DecodeError for a broken one."""
    return msgspec.json.decode((run_dir / FILE).read_bytes(), type=Manifest)


def differences(one: Manifest, other: Manifest, *, but: tuple[str, ...] = ()) -> list[str]:
    """Where two runs differ, as `path: this | that`; paths that begin with one of `but` are passed
    over. Two runs meant to differ only in the model differ nowhere but in `what.models`."""
    left, right = msgspec.to_builtins(one), msgspec.to_builtins(other)
    for side in (left, right):
        for name in _ITS_OWN:
            side.pop(name, None)
    found: list[str] = []
    _compare("", left, right, found)
    return [line for line in found if not line.startswith(but)] if but else found


def _compare(path: str, left: Any, right: Any, found: list[str]) -> None:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            below = f"{path}.{key}" if path else str(key)
            _compare(below, left.get(key), right.get(key), found)
    elif left != right:
        found.append(f"{path}: {left!r} | {right!r}")
