"""Writes what an observer inside an agent saw straight onto the run's history.

Loaded in the agent's own interpreter: standard library only, Python 3.9+, imports nothing of
proofrig, so that it can also be loaded by its path under another name.

Rules:
1. Without PROOFRIG_HISTORY there is nothing to write to and every observer only passes through:
   agents keep their wrappers in production.
2. One segment per process, made with the first entry; a forked child gets its own. Each entry is
   one write to the operating system: kill -9 loses nothing that was recorded.
3. The time is taken inside the lock, so a segment is in clock order; what a finaliser or a signal
   handler records in the middle of an entry comes right after it.
4. Whose work it is comes from the host's context variable, else from PROOFRIG_TRIAL; else it is
   nobody's (trial ""). Nothing is guessed.
5. An observer never breaks an agent: a history that cannot be written is said once, on standard
   error, and then left alone.
"""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1  # of the history, as its first line says
VERBATIM = 200  # characters of a value that stand on the history as they are
TEXT_BYTES = 16 << 10  # of a content that is searched for leaks

Attrs = dict[str, Any]


def _plain(value: Any) -> Any:
    inside = getattr(value, "__dict__", None)
    return inside if inside else repr(value)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode


def fingerprint(value: Any) -> str | None:
    """A value as it stands on the history: None, a text of at most 200 characters, or
    `blake2:` and 32 hex characters."""
    text = value if _is_long(value) else as_text(value)
    if isinstance(text, str):
        if len(text) <= VERBATIM:
            return text
        text = text.encode("utf-8", "replace")
    if text is None:
        return None
    return "blake2:" + hashlib.blake2b(text, digest_size=16).hexdigest()


def contents(name: str, value: Any) -> Attrs:
    """`{name: fingerprint, "text": the content, cut}`; no text for what is absent or not text."""
    if not _is_long(value):
        value = as_text(value)
    told: Attrs = {name: fingerprint(value)}
    if isinstance(value, bytes):
        try:  # a character may be cut in two
            value = codecs.getincrementaldecoder("utf-8")().decode(value[:TEXT_BYTES])
        except UnicodeDecodeError:
            return told
    if value:
        told["text"] = cut(value)
    return told


def _is_long(value: Any) -> bool:
    """Bytes of more than 200 characters, if they are characters at all: not worth decoding."""
    return isinstance(value, bytes) and len(value) > 4 * VERBATIM


def as_text(value: Any) -> str | bytes | None:
    """A value as text: itself, decoded, or as compact JSON; bytes that are not UTF-8 stay bytes."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def cut(text: str) -> str:
    """At most 16 KiB of a text."""
    if len(text) * 4 <= TEXT_BYTES:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= TEXT_BYTES else data[:TEXT_BYTES].decode("utf-8", "ignore")


class Begun:
    """An action that was begun and waits for its end. `t` is a `time.monotonic_ns`."""

    __slots__ = ("id", "name", "t", "trial")

    def __init__(self, id: str, name: str, trial: str) -> None:
        self.id = id
        self.name = name
        self.trial = trial
        self.t = time.monotonic_ns()


class Recorder:
    """The observers' only way onto the history. `RECORDER` is the one of this process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.folder = environ.get("PROOFRIG_HISTORY", "")
        origin = environ.get("PROOFRIG_ORIGIN_NS", "")
        self.on = bool(self.folder)
        self.segment = ""
        self.closing: list[Callable[[], None]] = []  # called by `close`, before the end
        self._origin = int(origin) if origin.lstrip("-").isdigit() else 0
        self._environ = environ
        if self.on and not origin:
            self._give_up("PROOFRIG_ORIGIN_NS, the run's time zero, is not set")
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _reset(self) -> None:
        self._fd = -1
        self._seq = 0
        self._lock = threading.RLock()
        self._writing = False
        self._waiting: list[tuple[str, str, str, str, Attrs]] = []
        self._numbers = itertools.count(1)

    def _forked(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._reset()

    def trial(self) -> str:
        """Whose work is being done now; "" when it is nobody's."""
        module = sys.modules.get("_proofrig_identity")
        if module is None:
            return self._environ.get("PROOFRIG_TRIAL", "")
        identity = module.IDENTITY.get()
        return identity[1] if identity else ""

    def begin(self, name: str, attrs: Attrs) -> Begun | None:
        """Write an action's `start`; None when nothing is recorded."""
        if not self.on or (self._fd < 0 and not self._open()):
            return None
        begun = Begun(f"{self.segment}.{next(self._numbers)}", name, self.trial())
        self.entry("start", name, begun.trial, begun.id, attrs)
        return begun

    def commit(self, begun: Begun, outcome: str, attrs: Attrs) -> None:
        """Write an action's `commit`: outcome `ok`, `fail` or `unknown`."""
        told = {"outcome": outcome}
        told.update(attrs)
        self.entry("commit", begun.name, begun.trial, begun.id, told)

    def note(self, name: str, attrs: Attrs) -> None:
        """Write a note of the trial whose work is being done."""
        if self.on:
            self.entry("note", name, self.trial(), "", attrs)

    def entry(self, kind: str, name: str, trial: str, id: str, attrs: Attrs) -> None:
        """Write one entry; a history that cannot be written ends the recording."""
        with self._lock:
            self._waiting.append((kind, name, trial, id, attrs))
            if self._writing:  # by this very thread, which was interrupted: rule 3
                return
            self._writing = True
            try:
                while self._waiting:
                    if self.on and (self._fd >= 0 or self._open()):
                        self._put(*self._waiting[0])
                    del self._waiting[0]
            except OSError as error:
                self._give_up(error.strerror or str(error))
                self._waiting.clear()
            finally:
                self._writing = False

    def _open(self) -> bool:
        flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY
        with self._lock:
            for number in itertools.count(1):
                if self._fd >= 0 or not self.on:
                    break
                segment = f"agent-{os.getpid()}-{number}"
                try:
                    self._fd = os.open(os.path.join(self.folder, segment + ".jsonl"), flags, 0o644)
                    self.segment = segment
                    self._put("note", "segment", "", "", {"format": FORMAT, "pid": os.getpid()})
                except FileExistsError:
                    continue
                except OSError as error:
                    self._give_up(error.strerror or str(error))
            return self.on

    def _put(self, kind: str, name: str, trial: str, id: str, attrs: Attrs) -> None:
        line: Attrs = {"seq": self._seq, "t": 0, "kind": kind, "name": name}
        if trial:
            line["trial"] = trial
        if id:
            line["id"] = id
        if attrs:
            line["attrs"] = attrs
        line["t"] = time.monotonic_ns() - self._origin
        data = _encode(line).encode("utf-8", "replace") + b"\n"
        self._seq += 1
        while data:
            data = data[os.write(self._fd, data) :]

    def _give_up(self, why: str) -> None:
        self.on = False
        sys.stderr.write(
            f"proofrig: nothing more is observed in process {os.getpid()}: cannot write to the "
            f"history in {self.folder} ({why}); the agent goes on as before\n"
        )

    def close(self) -> None:
        """Let observers settle what is open, with what they know of it. Before a process ends."""
        for settle in self.closing:
            settle()


RECORDER = Recorder(os.environ)
