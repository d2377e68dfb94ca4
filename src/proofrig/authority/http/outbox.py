"""What actions really cost, on disk before it is sent: nothing spent is lost with its process.

Rules:
1. Append only, one JSON object a line: `{"commit": ...}` before it is sent, `{"done": id}` after
   the answer, `{"refused": id, "why": ...}` when it can never be booked. Each line is handed to the
   system at once, so it survives kill -9; with `fsync` a power cut too.
2. A torn last line is what never was sent; the next line begins anew.
3. Several processes may share a file: each line is written under a lock, whole.
4. A file in which nothing is left open and nothing was refused is emptied under that lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from proofrig.authority.transition import Source
from proofrig.errors import JournalError
from proofrig.history.action import Outcome


class Owed(msgspec.Struct, frozen=True):
    """A commit that the authority has to hear of."""

    id: str
    actual: dict[str, int]
    source: Source
    outcome: Outcome
    price: str = ""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    commit: Owed | None = None
    done: str = ""
    refused: str = ""
    why: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class Outbox:
    """The file at `path`, made on first use. Raises JournalError when it cannot be written."""

    def __init__(self, path: Path | str, *, fsync: bool = False) -> None:
        self.path = Path(path)
        self._fsync = fsync

    def put(self, owed: Owed) -> None:
        """Note what is about to be sent."""
        self._append(_Line(commit=owed))

    def done(self, id: str) -> None:
        """Note that it was booked."""
        self._append(_Line(done=id))

    def refuse(self, id: str, why: str) -> None:
        """Note that it cannot be booked, for a person to look at."""
        self._append(_Line(refused=id, why=why))

    def left(self) -> list[Owed]:
        """What was not answered yet, oldest first."""
        return list(self._read()[0].values())

    def refused(self) -> dict[str, str]:
        """What could not be booked, and why."""
        return self._read()[1]

    def tidy(self) -> None:
        """Empty the file when nothing in it is of use any more."""
        if not self.path.exists():
            return
        with self._locked() as file:
            left, refused = self._read()
            if not left and not refused:
                os.ftruncate(file, 0)

    def _read(self) -> tuple[dict[str, Owed], dict[str, str]]:
        left: dict[str, Owed] = {}
        refused: dict[str, str] = {}
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return left, refused
        except OSError as error:
            raise self._broken("read", error) from error
        for raw in lines:
            try:
                line = _decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn: its process died before it could send it
            if line.commit is not None:
                left[line.commit.id] = line.commit
            else:
                left.pop(line.done or line.refused, None)
                if line.refused:
                    refused[line.refused] = line.why
        return left, refused

    def _append(self, line: _Line) -> None:
        data = _encode(line) + b"\n"
        with self._locked() as file:
            end = os.fstat(file).st_size
            if end and os.pread(file, 1, end - 1) != b"\n":
                data = b"\n" + data
            try:
                while data:
                    data = data[os.write(file, data) :]
                if self._fsync:
                    os.fsync(file)
            except OSError as error:
                raise self._broken("append", error) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._broken("open", error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _broken(self, doing: str, error: OSError) -> JournalError:
        what: Any = error.strerror or error
        return JournalError(
            f"{self.path}: expected to {doing} the outbox, got: {what}; what an action cost is on "
            "disk before it is sent: free the disk or check the file's rights"
        )
