"""The only writer of a history.

Rules:
1. `write` puts an entry into a buffer and costs about a microsecond; `flush` hands the buffer to
   the operating system, after which kill -9 cannot lose it. (Power loss can: no fsync here.)
2. A failed flush keeps the buffer and continues at the byte where the write stopped, so a full
   disk leaves no torn line behind once there is room again.
3. One journal per process and segment; times come from the clock that is passed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from proofrig.errors import JournalError
from proofrig.history.action import Entry, Kind
from proofrig.history.format import PACK, SEGMENT, VERSION, encoder, folder_of, next_segment
from proofrig.history.payloads import PayloadWriter

FLUSH_BYTES = 1 << 16


class Journal:
    """Writes one segment of a run's history, and the payloads beside it.

    `clock` gives nanoseconds since the run began. `payload_cap` is in bytes per payload.
    """

    def __init__(
        self,
        run_dir: Path,
        writer: str,
        clock: Callable[[], int],
        *,
        payload_cap: int = 1 << 18,
    ) -> None:
        folder_of(run_dir).mkdir(parents=True, exist_ok=True)
        self.segment = next_segment(run_dir, writer)
        self.path = folder_of(run_dir) / f"{self.segment}{SEGMENT}"
        self.clock = clock
        self.flushed = 0  # bytes of the segment that the operating system has
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o644)
        self._buffer = bytearray()
        self._seq = 0
        self._actions = 0
        self.payloads = PayloadWriter(self.path.with_suffix(PACK), cap=payload_cap)
        self.write("note", "segment", attrs={"format": VERSION, "pid": os.getpid()})

    def write(
        self,
        kind: Kind,
        name: str,
        *,
        trial: str = "",
        tenant: str = "",
        scope: str = "",
        id: str = "",
        attrs: dict[str, Any] | None = None,
    ) -> int:
        """Append an entry; returns its time. Raises JournalError when a due flush fails."""
        now = self.clock()
        entry = Entry(self._seq, now, kind, name, trial, tenant, scope, id, attrs or {})
        try:
            line = encoder.encode(entry)
        except UnicodeEncodeError:  # what agents and tools say may hold lone surrogates
            line = encoder.encode(_encodable(msgspec.to_builtins(entry)))
        self._buffer += line
        self._buffer += b"\n"
        self._seq += 1
        if len(self._buffer) >= FLUSH_BYTES:
            self.flush()
        return now

    def new_action(self) -> str:
        """An action id that is unique in the run."""
        self._actions += 1
        return f"{self.segment}.{self._actions}"

    def payload(self, data: bytes) -> str:
        """Store `data` once beside the segment; returns its digest."""
        return self.payloads.put(data)

    def flush(self) -> None:
        """Hand everything to the operating system: payloads first, as entries point to them."""
        try:
            self.payloads.flush()
            while self._buffer:
                written = os.write(self._fd, self._buffer)
                del self._buffer[:written]
                self.flushed += written
        except OSError as error:
            raise JournalError(
                f"cannot write the history to {self.path}: {error.strerror or error}. "
                "What was written before is safe; free space, then `proofrig resume`."
            ) from error

    def close(self) -> None:
        """Flush and close. Closing twice is fine."""
        if self._fd >= 0:
            self.flush()
            os.close(self._fd)
            self._fd = -1
            self.payloads.close()


def _encodable(value: Any) -> Any:
    """The value with `?` for what no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(part) for part in value]
    return value
