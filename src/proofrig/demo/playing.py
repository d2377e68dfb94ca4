"""A `proofrig run` of a suite, followed on its history while it goes on.

Rules:
1. The run is what the command line runs, in a process of its own. Whatever is told of it is read
   from its history.
2. The run's folder is the one whose history names the process.
3. A run that is no longer wanted is interrupted, as by Ctrl-C, and waited for: it ends what it
   started. Only one that does not end is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from proofrig.errors import InfraError
from proofrig.history.action import Action, Entry
from proofrig.history.history import History, Tail, pair
from proofrig.history.payloads import PayloadReader
from proofrig.places import RUNS

ENDS_WITHIN_S = 15.0
DONE = (0, 1, 4)  # exit codes of a run that came to its end, whatever it came to


class Playing:
    """A run of the suite at `path`, kept below `root`. case: only this one. Use as a context, which
    ends it; `poll` hands out what has happened since."""

    def __init__(self, path: Path, root: Path, case: str = "") -> None:
        self.path = path
        self.run_dir: Path | None = None
        self.entries: list[Entry] = []  # what `poll` has handed out
        self._root = root
        self._only = ["--case", case] if case else []
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process: subprocess.Popen[bytes] | None = None
        self._tails: list[Tail] = []
        self._seen: set[tuple[int, int, str, str]] = set()
        self._payloads: PayloadReader | None = None
        self._over = False
        self._before: set[str] = set()
        self._origin_ns = 0

    def __enter__(self) -> Playing:
        self._before = self._runs()
        program = [sys.executable, "-m", "proofrig", "run", str(self.path), "--quiet"]
        options = ["--no-baselines", "--root", str(self._root), *self._only]
        self._process = subprocess.Popen(
            [*program, *options],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which passes it on once
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(ENDS_WITHIN_S)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
                process.wait()
        self._said.close()

    # ---- following

    @property
    def over(self) -> bool:
        """True when the run has ended and everything it wrote was handed out."""
        return self._over

    def poll(self) -> list[Entry]:
        """What was written since the last poll, in the order of time as far as it is known. Raises
        InfraError with what the run said when it did not come to its end."""
        assert self._process is not None
        if self._over:
            return []
        ended = self._process.poll() is not None
        if self.run_dir is None:
            self._find(self._process.pid)
        fresh = self._rest() if ended else self._live()
        self._seen.update(map(_key, fresh))
        self.entries += fresh
        self._over = ended
        return fresh

    @property
    def folder(self) -> Path:
        """The run's folder. Raises InfraError while it is not known."""
        if self.run_dir is None:
            raise InfraError(f"expected a run of {self.path}, got none yet")
        return self.run_dir

    @property
    def ended_trials(self) -> int:
        """How many trials have come to their end."""
        return sum(entry.kind == "trial" and entry.name == "end" for entry in self.entries)

    def now_ns(self) -> int:
        """The time on the run's clock, nanoseconds; 0 while it is not known."""
        return time.time_ns() - self._origin_ns if self._origin_ns else 0

    def payload(self, digest: str) -> Any:
        """A payload as JSON, or as text where it is none; None for one that is not kept."""
        if self.run_dir is None or not digest:
            return None
        for _ in range(2):  # the run may be packing its payloads at this moment
            try:
                self._payloads = self._payloads or PayloadReader(self.run_dir)
                data = self._payloads.get(digest)
                break
            except OSError:
                self._payloads = None
        else:
            return None
        try:
            return None if data is None else msgspec.json.decode(data)
        except msgspec.DecodeError:
            return data.decode("utf-8", "replace") if data else None

    def actions(self) -> list[Action]:
        """Every action so far, in the order they were asked for."""
        found = pair(sorted(self.entries, key=lambda entry: entry.t))
        return sorted(found, key=lambda one: one.reserve.t if one.reserve else 0)

    # ---- inside

    def _runs(self) -> set[str]:
        folder = self._root.absolute() / RUNS
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def _find(self, pid: int) -> None:
        """Find the folder of the run that process `pid` writes."""
        for name in sorted(self._runs() - self._before):
            run_dir = self._root.absolute() / RUNS / name
            with suppress(OSError, KeyError, StopIteration, msgspec.DecodeError):
                first = next(iter(Tail(run_dir, "runner-1").poll()), None) or next(
                    entry for entry in History(run_dir).entries() if entry.name == "segment"
                )
                if first.attrs["pid"] != pid:
                    continue
                told = msgspec.json.decode((run_dir / "manifest.json").read_bytes())
                self._origin_ns, self.run_dir = told["started_ns"], run_dir
                self._tails = [Tail(run_dir, segment) for segment in ("runner-1", "rig-1")]
                return

    def _live(self) -> list[Entry]:
        fresh: list[Entry] = []
        for tail in self._tails:
            with suppress(OSError):  # not there yet, or packed already: the rest comes at the end
                fresh += tail.poll()
        return sorted(fresh, key=lambda entry: entry.t)

    def _rest(self) -> list[Entry]:
        """What was not handed out before the end."""
        assert self._process is not None
        if self._process.returncode not in DONE or self.run_dir is None:
            self._said.seek(0)
            said = self._said.read().decode("utf-8", "replace").strip()
            raise InfraError(
                f"expected `proofrig run {self.path}` to come to its end, got exit code "
                f"{self._process.returncode}: {said or 'it said nothing'}"
            )
        whole = History(self.run_dir).entries()
        return [entry for entry in whole if _key(entry) not in self._seen]


def _key(entry: Entry) -> tuple[int, int, str, str]:
    return entry.t, entry.seq, entry.kind, entry.name
