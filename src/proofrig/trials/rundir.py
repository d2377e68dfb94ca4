"""A run's directory: its name, its lock, and what of it is finished.

.proofrig/runs/<run>/manifest.json   what was run where
                     history/        everything that happened
                     authority.db    the ledger's journal
                     trials/         the worlds that trials left behind
                     summary.json    what it came to, when it ended
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from proofrig.errors import InfraError, UsageError
from proofrig.history.history import History
from proofrig.places import RUNS
from proofrig.trials.curtailed import CurtailedFold
from proofrig.trials.manifest import FILE


def new_run(root: Path, suite: str) -> Path:
    """Make the directory of a new run below `root`; its name is the run's id. Raises InfraError."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    run_dir = root.absolute() / RUNS / f"{stamp}-{suite}-{secrets.token_hex(2)}"
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        raise InfraError(
            f"cannot make the run's directory {run_dir}: {error.strerror}. "
            "Give a writable place with --root or PROOFRIG_ROOT."
        ) from error
    return run_dir


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the run: one process at a time. The lock goes when the process does, however it ends.
    Raises UsageError when another process holds it, InfraError when it cannot be written to."""
    try:
        descriptor = os.open(run_dir / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise InfraError(
            f"cannot write to the run's directory {run_dir}: {error.strerror}. "
            "Make it writable, or work on a copy of it."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"run {run_dir.name} is being run by another process; wait for it or stop it first"
        ) from None
    finally:
        os.close(descriptor)


def is_held(run_dir: Path) -> bool:
    """True while a process holds the run."""
    try:
        with open(run_dir / "lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # never held
    return False


def runs_below(root: Path) -> list[Path]:
    """The directories of the runs below `root`, in the order of their names, oldest first."""
    folder = root.absolute() / RUNS
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if (path / FILE).is_file()]


class Finished(msgspec.Struct, frozen=True):
    """What an earlier process left. `attempts`: how many attempts of each trial began;
    `scenarios`: those that came to their end. What was cut is done with. settled: with how many
    repeats the question of a run was, 0 where it was not."""

    done: frozenset[str]
    attempts: dict[str, int]
    problems: tuple[str, ...]
    scenarios: frozenset[str] = frozenset()
    settled: int = 0


def finished_trials(run_dir: Path) -> Finished:
    """The trials whose end is on the history or that were cut, and the attempts of all that began.
    A trial that ended for infra reasons was never measured: it is missing, and may be run again."""
    history, fold = History(run_dir), CurtailedFold()
    done: set[str] = set()
    scenarios: set[str] = set()
    attempts: dict[str, int] = {}
    for entry in history.entries():
        fold.step(entry)
        if entry.kind == "note" and entry.name == "scenario" and entry.attrs["state"] == "end":
            scenarios.add(entry.attrs["scenario"])
        if entry.kind != "trial":
            continue
        trial = entry.trial.partition("~")[0]
        if entry.name == "begin":
            attempts[trial] = max(attempts.get(trial, 0), entry.attrs["attempt"])
        elif entry.attrs.get("failure") != "infra":
            done.add(trial)
    curtailed = fold.result()
    return Finished(
        done=curtailed.trials | done,
        attempts=attempts,
        problems=tuple(history.problems),
        scenarios=curtailed.scenarios | scenarios,
        settled=curtailed.settled.repeats if curtailed.settled else 0,
    )
