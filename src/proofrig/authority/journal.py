"""The ledger's journal: every transition, appended to one SQLite file.

Rules:
1. Append only. A row is (seq, crc, body): the transition's number, the CRC-32 of its body begun
   with that number, and the transition as JSON. Numbers have no gaps.
2. WAL with synchronous=NORMAL: what was written survives kill -9 of this process. A power cut may
   lose the last rows; it never tears one.
3. `append` never raises: it queues, and writes when `batch` are queued. What cannot be written
   stays queued, in order, and `failure` says why; `flush` writes the whole queue or raises.
   Whoever lets a side effect begin flushes first.
4. With a batch above 1, `defer` (an event loop's `call_soon`) ends each batch with its tick.
5. A row that is damaged or cannot follow is never skipped silently: `replay` refuses the journal
   and names every such row, or, when asked to, moves them aside and reports them.
6. One process writes. A second one is found out by its numbers, and refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

import msgspec

from proofrig.authority.ledger import Ledger
from proofrig.authority.transition import Transition
from proofrig.errors import JournalError, LedgerError, UsageError

_APPLICATION_ID = 0x50524A31  # "PRJ1"
_SCHEMA = f"""
create table if not exists transitions(seq integer primary key, crc integer, body blob);
create table if not exists aside(seq integer primary key, crc integer, body blob, reason text);
pragma application_id = {_APPLICATION_ID};
"""
_INSERT = "insert into transitions(seq, crc, body) values(?, ?, ?)"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that replay could not take in. `body` is empty where rows are missing."""

    seq: int
    reason: str
    body: bytes

    def __str__(self) -> str:
        shown = self.body[:200].decode(errors="replace")
        return f"row {self.seq}: {self.reason}" + (f": {shown}" if shown else "")


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay took in, and the rows that are aside: now moved there, or earlier."""

    applied: int
    aside: tuple[BadRow, ...]


class Journal:
    """An append-only file of transitions; created when absent. Close it, or use it in `with`.

    batch: transitions per write. defer: called with a function to run at the end of this tick.
    Raises JournalError when the file is not a journal or cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        batch: int = 1,
        defer: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.path = Path(path)
        self.failure: JournalError | None = None
        self._batch = batch
        self._defer = defer
        self._queue: list[Transition] = []
        self._encode = msgspec.json.Encoder().encode
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=1)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        try:
            self.last = self._prepare()  # the number of the last transition queued or written
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, made: Transition) -> None:
        """Queue a transition and write when the batch is full. Answers given again are passed
        over: their number is not new."""
        if made.seq <= self.last:
            return
        self.last = made.seq
        queue = self._queue
        queue.append(made)
        if len(queue) >= self._batch:
            self._try()
        elif self._defer is not None and len(queue) == 1:
            self._defer(self._try)

    def flush(self) -> None:
        """Write everything queued, in one transaction. Raises JournalError and keeps the queue."""
        if self._queue:
            self._try()
            if self.failure is not None:
                raise self.failure

    def ends(self, ids: Collection[str]) -> dict[str, Transition]:
        """The last transition of each of `ids`, latest first; reads back until all are found."""
        decode = msgspec.json.Decoder(Transition).decode
        found: dict[str, Transition] = {}
        missing = set(ids)
        for (body,) in self._db.execute("select body from transitions order by seq desc"):
            if not missing:
                break
            made = decode(body)
            if made.id in missing:
                missing.remove(made.id)
                found[made.id] = made
        return found

    def close(self) -> None:
        """Write what is queued and close the file. Raises JournalError when it cannot."""
        try:
            self.flush()
        finally:
            self._db.close()

    def replay(self, ledger: Ledger, *, set_aside: bool = False) -> Replay:
        """Take every row into `ledger`, in order.

        Raises JournalError that names all bad rows, unless `set_aside`: then they are moved to the
        table `aside`, with what they broke, and the rest counts. What a row set aside had spent or
        held is then missing from the balances.
        """
        try:
            known = {row[0]: BadRow(row[0], row[2], row[1]) for row in self._db.execute(_KNOWN)}
            applied, bad = self._take(ledger, set(known))
            if bad and not set_aside:
                raise JournalError(_report(self.path, applied, bad))
            self._move_aside(bad)
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error
        return Replay(applied, (*known.values(), *bad))

    def _take(self, ledger: Ledger, aside: set[int]) -> tuple[int, list[BadRow]]:
        decode = msgspec.json.Decoder(Transition).decode
        applied, expected, bad = 0, 1, []
        for seq, crc, body in self._db.execute(
            "select seq, crc, body from transitions order by seq"
        ):
            if seq > expected and seq - 1 not in aside:
                bad.append(BadRow(seq - 1, f"expected rows {expected} to {seq - 1}, got none", b""))
            expected = seq + 1
            try:
                if not isinstance(body, bytes) or crc != crc32(body, seq & 0xFFFFFFFF):
                    raise LedgerError("expected the checksum it was written with, got another")
                made = decode(body)
                if made.seq != seq:
                    raise LedgerError(f"expected its own number, got {made.seq}")
                ledger.apply(made)
                applied += 1
            except (LedgerError, UsageError, msgspec.DecodeError) as error:
                bad.append(BadRow(seq, str(error), _as_bytes(body)))
        ledger.seq = self.last
        return applied, bad

    def _move_aside(self, bad: list[BadRow]) -> None:
        if not bad:
            return
        with self._db:
            self._db.execute("begin immediate")
            self._db.executemany(
                "insert into aside(seq, body, reason) values(?, ?, ?)",
                [(row.seq, row.body, row.reason) for row in bad],
            )
            self._db.executemany("delete from transitions where seq = ?", [(r.seq,) for r in bad])

    def _prepare(self) -> int:
        """Open or create the tables; the last number in use."""
        try:
            (mark,) = self._db.execute("pragma application_id").fetchone()
            (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
            if tables and mark != _APPLICATION_ID:
                raise JournalError(
                    f"{self.path}: expected a ledger journal, got another SQLite file; "
                    "name the journal's own file, or one that does not exist yet"
                )
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            if not tables:
                self._db.executescript(_SCHEMA)
            last: int = self._db.execute(_LAST).fetchone()[0]
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return last

    def _try(self) -> None:
        rows = []
        for made in self._queue:
            try:
                body = self._encode(made)
            except UnicodeEncodeError:
                body = self._encode(_encodable(made))
            rows.append((made.seq, crc32(body, made.seq & 0xFFFFFFFF), body))
        try:
            if len(rows) == 1:
                self._db.execute(_INSERT, rows[0])
            elif rows:
                with self._db:
                    self._db.execute("begin immediate")
                    self._db.executemany(_INSERT, rows)
        except sqlite3.IntegrityError:
            self.failure = JournalError(
                f"{self.path}: expected to be its only writer, got row {rows[0][0]} written by "
                "another process; stop one of the two, then restart on this file",
                definite=True,
            )
        except sqlite3.Error as error:
            self.failure = JournalError(
                f"{self.path}: expected to append {len(rows)} transitions, got: {error}; nothing "
                "new starts until it can be written; free the disk or check the file's rights",
                definite=True,
            )
        else:
            self.failure = None
            self._queue.clear()

    def _unreadable(self, error: sqlite3.Error) -> JournalError:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            return JournalError(
                f"{self.path}: no room for the ledger's journal: {error}; free space, then "
                "`proofrig resume`"
            )
        folder = self.path.absolute().parent
        if self.path.is_dir() or not folder.is_dir():
            got = "a folder" if self.path.is_dir() else f"no folder {folder}"
            return JournalError(
                f"{self.path}: expected a file for the ledger's journal, got {got}; name a file in "
                "a folder that exists"
            )
        return JournalError(
            f"{self.path}: expected a readable ledger journal, got: {error}; restore the file, or "
            "salvage its rows with `sqlite3 FILE .recover`"
        )


_KNOWN = "select seq, body, reason from aside order by seq"
_LAST = """select coalesce(max(seq), 0) from
    (select seq from transitions union all select seq from aside)"""


def _encodable(made: Transition) -> Transition:
    """The same move, with each half of a surrogate pair in its names and words as `\\ud800`: such
    text is no Unicode, and must not stop what is behind it."""
    fields = {name: _words(value) for name, value in msgspec.structs.asdict(made).items()}
    return Transition(**fields)


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_words(name): amount for name, amount in value.items()}
    return tuple(map(_words, value)) if isinstance(value, tuple) else value


def _as_bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else repr(body).encode()


def _report(path: Path, applied: int, bad: list[BadRow]) -> str:
    shown = "\n".join(f"  {row}" for row in bad[:20])
    more = f"\n  and {len(bad) - 20} more" if len(bad) > 20 else ""
    return (
        f"{path}: expected every row whole and in order, got {len(bad)} that are not, beside "
        f"{applied} good ones:\n{shown}{more}\nrestore the file, or replay with set_aside and book "
        "by hand what these rows had spent"
    )
