"""Observes the files that agents share, in Python code that knows nothing of it.

Loaded in the agent's own interpreter: standard library only, Python 3.9+. `install` patches `open`
(and with it pathlib and tempfile), `os.open`, `os.write`, `os.close`, `os.rename`, `os.replace`,
`os.unlink` and `os.remove`; only files that a service declares are told of.

    file.read    from the beginning to the end: the whole content; a part: no value
    file.write   open .. close, a rename onto the path (`from`: what was renamed), or its removal
                 (value null: absent)
    file.append  one write to a file that was opened for appending: it replaces nothing

Rules:
1. Without PROOFRIG_FILES, or without a history to write to, nothing is patched.
2. A path is told as it is below the folder that the glob begins with. A temporary file is a place
   of its own; what is renamed counts for its new path, and its old one is absent from then on.
3. An action begins before its effect and ends after it: what is recorded never seems to have come
   before something that came before it. That opening a file emptied it is told with the first
   bytes that follow; where none do, at its closing, as `unknown`.
4. Not seen: C code (sqlite3), mmap, `os.read`, `os.pwrite`, paths relative to a `dir_fd`, links.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import re
import stat
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from proofrig.observers._file import (
    Session,
    WatchedIO,
    is_ordinary,
    layered,
    on_disk,
    valued,
    viewed,
)
from proofrig.observers._standing import Standing, stand_in_os, stand_in_pathlib
from proofrig.observers._watch import shown
from proofrig.observers.recorder import RECORDER, Attrs, Recorder

MAGIC = re.compile(r"[*?\[]")
OPTIONS = ("encoding", "errors", "newline", "closefd", "opener")
WRITING = os.O_WRONLY | os.O_RDWR
UNNAMED = getattr(os, "O_TMPFILE", 0)


class Kill(Protocol):
    """Where this process is to die."""

    def fits(self, path: str) -> bool:
        """True when writes of this file, or renames onto it, count; asked of absolute paths."""

    anything: bool  # it fits every path: then only the shared ones count, where some are declared

    def before_bytes(self, path: str, size: int) -> int | None:
        """A write of `size` bytes is about to be done: after how many of them to die, or None."""

    def before_rename(self, path: str) -> bool:
        """A file is about to be renamed onto `path`: True to die before it is."""

    def die(self) -> None: ...


def pattern_of(glob: str) -> re.Pattern[str]:
    """A glob as an expression: `*` and `?` stay within a folder, `**` does not."""
    found = []
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", glob):
        if part == "**/":
            found.append("(?:.*/)?")
        elif part in ("**", "*", "?"):
            found.append({"**": ".*", "*": "[^/]*", "?": "[^/]"}[part])
        elif len(part) > 2 and part[0] == "[" and part[-1] == "]":
            inside = part[1:-1].replace("\\", r"\\").replace("[", r"\[")
            found.append(f"[{'^' + inside[1:] if inside[0] == '!' else inside}]")
        else:
            found.append(re.escape(part))
    return re.compile("".join(found), re.DOTALL)


class Folder:
    """A service: its files, by a glob on absolute paths."""

    def __init__(self, service: str, glob: str) -> None:
        glob = os.path.abspath(glob)
        magic = MAGIC.search(glob)
        self.service = service
        self.root = glob[: glob.rfind("/", 0, magic.start() if magic else len(glob)) + 1]
        self._pattern = pattern_of(glob)

    def key(self, path: str) -> str | None:
        """The path below the folder; None when it is none of its files."""
        if path.startswith(self.root) and self._pattern.fullmatch(path):
            return path[len(self.root) :]
        return None


class Watch:
    """What is watched in this process."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.folders: list[Folder] = []
        self.kill: Kill | None = None
        self._open: weakref.WeakValueDictionary[int, WatchedIO] = weakref.WeakValueDictionary()
        self._descriptors: dict[int, tuple[Session, int, int]] = {}  # with device and inode
        self._own = os.path.join(os.path.abspath(recorder.folder), "") if recorder.folder else ""
        recorder.closing.append(self.settle)

    def path_of(self, path: Any) -> str:
        """An absolute path; "" when it cannot be one, or is the history itself."""
        try:
            name = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError, OSError):
            return ""
        return "" if self._own and name.startswith(self._own) else name

    def place(self, path: str) -> tuple[str, str] | None:
        """Service and key of a path; None when no service has it."""
        for folder in self.folders:
            key = folder.key(path)
            if key is not None:
                return folder.service, key
        return None

    def killing(self, path: str) -> Kill | None:
        """The kill, when it may happen at this file."""
        kill = self.kill
        if kill is None or not path or not kill.fits(path):
            return None
        return None if kill.anything and self.folders and self.place(path) is None else kill

    def session(self, path: str, fd: int, writes: bool) -> Session | None:
        """A session for an open file; None when it is of no interest."""
        place, kill = self.place(path), self.killing(path) if writes else None
        if (place is None and kill is None) or not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        session = Session(path, place, self.recorder)
        if kill is not None:
            session.cut, session.die = kill.before_bytes, kill.die
        return session

    def settle(self) -> None:
        """Tell the end of what is still open, before the process ends."""
        for fd, raw in list(self._open.items()):
            if raw.session is not None and not raw.closed:
                raw.session.close(fd)
        for fd, (session, _, _) in list(self._descriptors.items()):
            session.close(fd)

    # `open`

    def open(self, inner: Any, file: Any, mode: Any, buffering: Any, options: Attrs) -> Any:
        """`open(...)`, of a watched file with a raw layer that tells."""
        opener = options.get("opener")
        path = "" if isinstance(file, int) else self.path_of(file)
        writes = isinstance(mode, str) and not set(mode).isdisjoint("wax+")
        if isinstance(file, int):
            wanted = file in self._descriptors
        else:
            wanted = bool(path) and (
                opener is not None
                or self.place(path) is not None
                or (writes and self.killing(path) is not None)
            )
        if not wanted or not is_ordinary(mode, buffering, options):
            return inner(file, mode, buffering, **options)
        letters = mode.replace("b", "").replace("t", "")
        name = file if isinstance(file, int) else os.fspath(file)
        try:
            raw = WatchedIO(name, letters, options.get("closefd", True), opener)
        except FileNotFoundError:
            if "r" in mode:
                self.absent(path)
            raise
        try:
            self.attach(raw, path, mode, writes, opener is not None)
            return layered(raw, mode, buffering, options)
        except BaseException:
            raw.close()
            raise

    def attach(self, raw: WatchedIO, path: str, mode: str, writes: bool, renamed: bool) -> None:
        """Give a raw file its session."""
        fd = raw.fileno()
        known = self.descriptor(fd)
        if renamed:  # an opener opens what it likes
            path = self.path_of(os.path.realpath(f"/proc/self/fd/{fd}"))
        session = known if known is not None else self.session(path, fd, writes) if path else None
        if session is None:
            return
        session.appends = session.appends or "a" in mode
        if known is None and not session.appends and not set(mode).isdisjoint("wx"):
            session.opened_anew()
        raw.session, raw.closed_by = session, self.closed
        self._open[fd] = raw

    def closed(self, raw: WatchedIO) -> None:
        self._descriptors.pop(raw.fileno(), None)

    def absent(self, path: str) -> None:
        """A read found no file. It is told as of now, if that is still so."""
        place = self.place(path)
        if place is None:
            return
        begun = Session(path, place, self.recorder).begin("file.read", {})
        if begun is not None:
            still = not os.path.lexists(path)
            self.recorder.commit(begun, "ok", {"value": None} if still else {})

    # Descriptors

    def opened(self, path: Any, flags: int, fd: int) -> None:
        """`os.open` gave `fd`."""
        self._descriptors.pop(fd, None)
        if flags & WRITING and not (UNNAMED and flags & UNNAMED == UNNAMED):
            name = self.path_of(path)
            session = self.session(name, fd, True) if name else None
            if session is not None:
                session.appends = bool(flags & os.O_APPEND)
                if flags & os.O_TRUNC or flags & os.O_EXCL:
                    session.opened_anew()
                at = os.fstat(fd)
                self._descriptors[fd] = session, at.st_dev, at.st_ino

    def descriptor(self, fd: int) -> Session | None:
        """The session of a descriptor, if it still is the same file."""
        known = self._descriptors.get(fd)
        if known is None:
            return None
        at = os.fstat(fd)
        if (at.st_dev, at.st_ino) == known[1:]:
            return known[0]
        del self._descriptors[fd]
        return None

    def write(self, inner: Any, fd: int, data: Any) -> Any:
        session = self.descriptor(fd) if fd in self._descriptors else None
        view = viewed(data) if session is not None else None
        if session is None or view is None:
            return inner(fd, data)
        return session.write(fd, os.lseek(fd, 0, os.SEEK_CUR), view, lambda part: inner(fd, part))

    def close(self, inner: Any, fd: int) -> None:
        known = self._descriptors.pop(fd, None)
        if known is not None:
            known[0].close(fd)
        inner(fd)

    # Names

    def rename(self, inner: Any, src: Any, dst: Any) -> None:
        """`os.rename` or `os.replace`."""
        source, target = self.path_of(src), self.path_of(dst)
        place, kill = self.place(target) if target else None, self.killing(target)
        gone = self.place(source) if source else None
        if (place is None and gone is None and kill is None) or not os.path.isfile(source):
            inner(src, dst)
            return
        begun = []
        if place is not None:
            attrs = {**valued(on_disk(source)), "from": gone[1] if gone is not None else source}
            begun.append(Session(target, place, self.recorder).begin("file.write", attrs))
        if gone is not None and gone != place:
            absent = Session(source, gone, self.recorder).begin("file.write", {"value": None})
            begun.append(absent)
        if kill is not None and kill.before_rename(target):
            kill.die()
        self.ended(begun, lambda: inner(src, dst))

    def unlink(self, inner: Any, path: Any) -> None:
        """`os.unlink` or `os.remove`."""
        name = self.path_of(path)
        place = self.place(name) if name else None
        if place is None:
            inner(path)
            return
        begun = Session(name, place, self.recorder).begin("file.write", {"value": None})
        self.ended([begun], lambda: inner(path))

    def ended(self, begun: list[Any], call: Callable[[], None]) -> None:
        """Make a call, and tell how it ended."""
        outcome, attrs = "ok", {}
        try:
            call()
        except BaseException as error:
            outcome = "fail" if isinstance(error, OSError) else "unknown"
            attrs = {"error": shown(error)}
            raise
        finally:
            for one in begun:
                if one is not None:
                    self.recorder.commit(one, outcome, attrs)


def _patch(watch: Watch) -> None:
    opening = io.open

    def open_file(file: Any, mode: Any = "r", buffering: Any = -1, *rest: Any, **named: Any) -> Any:
        if len(rest) > len(OPTIONS) or not named.keys() <= set(OPTIONS[len(rest) :]):
            return opening(file, mode, buffering, *rest, **named)  # it says what is wrong
        options = {**dict(zip(OPTIONS, rest)), **named}  # noqa: B905  (not in Python 3.9)
        return watch.open(opening, file, mode, buffering, options)

    def os_open(inner: Any, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        fd: int = inner(path, flags, *args, **kwargs)
        if kwargs.get("dir_fd") is None:
            watch.opened(path, flags, fd)
        return fd

    def rename(inner: Any, src: Any, dst: Any, **folders: Any) -> None:
        if any(value is not None for value in folders.values()):
            return inner(src, dst, **folders)  # type: ignore[no-any-return]
        return watch.rename(inner, src, dst)

    def unlink(inner: Any, path: Any, **folder: Any) -> None:
        if any(value is not None for value in folder.values()):
            return inner(path, **folder)  # type: ignore[no-any-return]
        return watch.unlink(inner, path)

    standing = Standing(opening, open_file)
    builtins.open = io.open = standing
    stand_in_pathlib(opening, standing)
    stand_in_os("open", os_open)
    stand_in_os("write", watch.write)
    stand_in_os("close", watch.close)
    for name in ("rename", "replace"):
        stand_in_os(name, rename)
    for name in ("unlink", "remove"):
        stand_in_os(name, unlink)


_watch: Watch | None = None


def watch(
    folder_globs: Mapping[str, str], recorder: Recorder = RECORDER, kill: Kill | None = None
) -> None:
    """Watch the files of services (name -> absolute glob), and die where `kill` says. What later
    calls give is added; patches are made once, and only when there is something to watch."""
    global _watch
    folders = [Folder(service, glob) for service, glob in folder_globs.items()]
    if not (folders and recorder.on) and kill is None:
        return
    if _watch is None:
        _watch = Watch(recorder)
        _patch(_watch)
    _watch.folders += folders
    _watch.kill = kill if kill is not None else _watch.kill


def install(text: str) -> None:
    """Watch what PROOFRIG_FILES says: a JSON object, service -> absolute glob."""
    watch(json.loads(text))
