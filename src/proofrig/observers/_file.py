"""A file that is shared, while it is open: a raw file like any other, that tells what goes through.

Standard library only, Python 3.9+. See `files.py` for what is recorded and why.

Rules:
1. Only the raw layer is replaced; buffers and text layers are Python's own.
2. A `file.write` begins before the first byte gets there, with what the file will hold by it, and
   ends when the file is closed, with what it held in the end where that is more.
3. Bytes that go past Python's raw layer (mmap, sendfile, C code) are not seen; a file that was
   opened anew and got only such bytes is looked at when it is closed, and its write is `unknown`.
4. Files above 16 MiB are told of without their value, and so is what is read of a file that has
   been replaced since it was opened: when it was current, nobody saw.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from proofrig.observers._watch import shown
from proofrig.observers.recorder import Attrs, Begun, Recorder, contents, fingerprint

LIMIT = 16 << 20  # bytes of a file that are kept to tell its value
TEXT_OPTIONS = ("encoding", "errors", "newline")


def on_disk(path: str) -> bytearray | None:
    """What a file holds; None when that is too much or cannot be read."""
    held = bytearray()
    try:
        with io.FileIO(path) as file:
            while len(held) <= LIMIT:
                more = file.read(1 << 20)
                if not more:
                    return held
                held += more
    except OSError:
        pass
    return None


def valued(held: bytearray | None) -> Attrs:
    """The attribute `value` of a content that is known."""
    return {} if held is None else {"value": fingerprint(held)}


def viewed(data: Any) -> memoryview | None:
    """The bytes of what is to be written; None for what cannot be."""
    try:
        return memoryview(data).cast("B")
    except (TypeError, ValueError, BufferError):
        return None


class Session:
    """A watched file, from where it is opened until it is closed. `place` is its service and key;
    None when it is only there to be killed at. `cut(path, size)` says after how many bytes of a
    write this process dies, None to live; `die()` does it."""

    def __init__(self, path: str, place: tuple[str, str] | None, recorder: Recorder) -> None:
        self.path = path
        self.recorder = recorder
        self.cut: Callable[[str, int], int | None] | None = None
        self.die: Callable[[], None] = os.abort
        self.appends = self.fresh = False
        self._place = place
        self._held: bytearray | None = None
        self._known = False
        self._begun: Begun | None = None
        self._said: Attrs = {}
        self._pid = os.getpid()
        self._read: Begun | None = None
        self._content: bytearray | None = None
        self._at = 0

    def begin(self, name: str, attrs: Attrs) -> Begun | None:
        """Begin an action on this file."""
        if self._place is None:
            return None
        service, key = self._place
        return self.recorder.begin(name, {"service": service, "path": key, "key": key, **attrs})

    def opened_anew(self) -> None:
        """The file is empty now, by this opening."""
        self.fresh = self._known = True
        self._held = bytearray()

    def write(self, fd: int, at: int, data: memoryview, put: Callable[[memoryview], Any]) -> Any:
        """`put(data)`, which writes at `at`."""
        self._forked()
        begun = self._writing(fd, at, data)
        cut = self.cut(self.path, len(data)) if self.cut is not None else None
        if cut is not None:
            if begun is None and not self.appends:  # a later write of this file: tell of it too
                self.begin("file.write", valued(self._held))
            while cut > 0:
                done = put(data[:cut])
                data, cut = data[done:], cut - done
            self.die()
        try:
            done = put(data)
        except BaseException as error:
            self._known = False
            if begun is not None:
                self.recorder.commit(begun, "fail", {"error": shown(error)})
                self._begun = None if begun is self._begun else self._begun
            raise
        if self.appends and begun is not None:
            self.recorder.commit(begun, "ok", {})
        return done

    def _writing(self, fd: int, at: int, data: memoryview) -> Begun | None:
        """Tell what is about to be written; the action, when this began one."""
        if self._place is None:
            return None
        if self.appends:
            return self.begin("file.append", {"value": fingerprint(data)})
        held = self._content_now(fd)
        if held is not None and max(at + len(data), len(held)) <= LIMIT:
            if at > len(held):
                held.extend(bytes(at - len(held)))
            held[at : at + len(data)] = data
        else:
            self._held = None
        return self._begin_write()

    def _content_now(self, fd: int) -> bytearray | None:
        if not self._known:
            self._held, self._known = on_disk(f"/proc/self/fd/{fd}"), True
        return self._held

    def _begin_write(self) -> Begun | None:
        self.fresh = False
        if self._begun is not None:
            return None
        self._said = valued(self._held)
        self._begun = self.begin("file.write", self._said)
        return self._begun

    def truncate(self, fd: int, size: int, cut: Callable[[], int]) -> int:
        """`cut()`, which makes the file `size` bytes long."""
        self._forked()
        held = self._content_now(fd) if self._place is not None else None
        if held is None or size == len(held) or size > LIMIT:
            self._held = held if held is not None and size == len(held) else None
            return cut()
        del held[size:]
        held.extend(bytes(size - len(held)))
        self._begin_write()
        return cut()

    def reading(self, fd: int, at: int) -> None:
        """Something is about to be read at `at`."""
        if self._place is None:
            return
        self._forked()
        if self._read is not None and at != self._at:
            self._end_read({})
        if self._read is None and at == 0:
            self._read = self.begin("file.read", {})
            self._content, self._at = bytearray(), 0
            if not self._in_place(fd):
                self._content = None

    def _in_place(self, fd: int) -> bool:
        """False when another file was renamed onto the path since this one was opened: what it
        holds is older than a read that begins now."""
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except OSError:
            return False

    def has_read(self, data: Any, ended: bool) -> None:
        """What was read; `ended` when there was no more."""
        if self._read is None:
            return
        self._at += len(data)
        if self._content is not None:
            self._content += data
            if len(self._content) > LIMIT:
                self._content = None
        if ended:
            self._end_read({} if self._content is None else contents("value", self._content))

    def _end_read(self, attrs: Attrs) -> None:
        if self._read is not None:
            self.recorder.commit(self._read, "ok", attrs)
        self._read = self._content = None

    def close(self, fd: int) -> None:
        """Settle what was begun, before the file is closed."""
        self._forked()
        self._end_read({})
        if self.fresh and self._place is not None:
            begun = self.begin("file.write", valued(on_disk(f"/proc/self/fd/{fd}")))
            if begun is not None:
                self.recorder.commit(begun, "unknown", {})
        self.fresh = False
        if self._begun is not None:
            said = valued(self._held) if self._known else {}
            self.recorder.commit(self._begun, "ok", {} if said == self._said else said)
        self._begun = None

    def _forked(self) -> None:
        """What a parent began is the parent's to end."""
        if self._pid != os.getpid():
            self._pid, self._begun, self._read = os.getpid(), None, None
            self.fresh = False


class WatchedIO(io.FileIO):
    """A raw file that tells its session what goes through it; without one it tells nothing."""

    session: Session | None = None
    closed_by: Callable[[WatchedIO], None] | None = None

    def write(self, b: Any, /) -> Any:
        data = viewed(b) if self.session is not None and not self.closed else None
        if self.session is None or data is None:
            return super().write(b)
        return self.session.write(self.fileno(), self.tell(), data, super().write)

    def truncate(self, size: Any = None, /) -> int:
        if self.session is None or self.closed or not self.writable():
            return super().truncate(size)
        to = self.tell() if size is None else size
        put = super().truncate
        return self.session.truncate(self.fileno(), to, lambda: put(to))

    def readinto(self, buffer: Any, /) -> Any:
        if self.session is None or self.closed:
            return super().readinto(buffer)
        self.session.reading(self.fileno(), self.tell())
        count = super().readinto(buffer)
        view = memoryview(buffer).cast("B")
        self.session.has_read(view[:count], (count or 0) < len(view))
        return count

    def readall(self) -> Any:
        if self.session is None or self.closed:
            return super().readall()
        self.session.reading(self.fileno(), self.tell())
        data = super().readall()
        self.session.has_read(data or b"", True)
        return data

    def read(self, size: Any = -1, /) -> Any:
        if size is None or size < 0:
            return self.readall()
        if self.session is None or self.closed:
            return super().read(size)
        self.session.reading(self.fileno(), self.tell())
        data = super().read(size)
        self.session.has_read(data or b"", len(data or b"") < size)
        return data

    def close(self) -> None:
        try:
            if self.session is not None and not self.closed:
                self.session.close(self.fileno())
                if self.closed_by is not None and self.closefd:
                    self.closed_by(self)
        finally:
            super().close()


def is_ordinary(mode: Any, buffering: Any, options: Attrs) -> bool:
    """True when `open` takes these together; what it refuses, it refuses itself."""
    if not isinstance(mode, str) or not isinstance(buffering, int):
        return False
    letters = set(mode)
    if len(letters) != len(mode) or len(letters & set("rwax")) != 1 or letters - set("rwaxbt+"):
        return False
    if "b" in letters:
        return "t" not in letters and all(options.get(name) is None for name in TEXT_OPTIONS)
    return buffering != 0


def layered(raw: WatchedIO, mode: str, buffering: int, options: Attrs) -> Any:
    """What `open` puts on a raw file: the same buffer and text layer, of the same size."""
    lines = buffering == 1
    if lines and "b" in mode:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, the default buffer size "
            "will be used",
            RuntimeWarning,
            stacklevel=5,
        )
        lines = False
    if buffering == 0:
        return raw
    if buffering < 0 or buffering == 1:
        lines = lines or (buffering < 0 and raw.isatty())
        buffering = raw._blksize  # type: ignore[attr-defined]
        if sys.version_info >= (3, 14):
            buffering = max(min(buffering, 8 << 20), io.DEFAULT_BUFFER_SIZE)
    made: Any = io.BufferedReader
    if "+" in mode:
        made = io.BufferedRandom
    elif "r" not in mode:
        made = io.BufferedWriter
    buffer = made(raw, buffering)
    if "b" in mode:
        return buffer
    given: dict[str, Any] = {name: options.get(name) for name in TEXT_OPTIONS}
    text: Any = io.TextIOWrapper(buffer, line_buffering=lines, **given)
    text.mode = mode
    return text
