"""Kills an agent's own process at a named point of a write to a file, as a crash would.

Loaded by `host.py` in the agent's own interpreter: standard library only, Python 3.9+.

    mid_bytes      at the nth write to a file that fits: its first bytes get there, then SIGKILL
    before_rename  at the nth rename onto a path that fits, before it is done

Rules:
1. A write is what Python gives to the operating system: one for a small file, one per filled buffer
   for a large one. Its bytes are in the file when the process dies, but never all of them.
2. A path fits a glob by its name alone when the glob has no `/`; an absolute glob must fit all of
   it, another one its end. `*` means every file, but only the shared ones where the suite declares
   some.
3. SIGKILL to this process: nothing is flushed, closed or told.
4. Only what goes through Python's `open`, `os.write`, `os.rename` and `os.replace` is a point. C
   code and other programs (sqlite3, command agents) never reach one. A limit on the file size
   (RLIMIT_FSIZE with SIGXFSZ) is no substitute and not used: it knows neither path nor count, hits
   logs and standard output alike, fires at a length of the file rather than within the nth write,
   and Python, Go and the JVM ignore the signal and see an error they can clean up after.
"""

from __future__ import annotations

import json
import os
import signal
from importlib import import_module

TYPE_CHECKING = False  # importing typing costs every isolated trial 3 ms
if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from typing import Any


class KillPoint:
    """What `proofrig.observers.files` asks before it writes or renames. `kill` is
    {point, nth, path, bytes}, as `faults/kill.py` writes it."""

    def __init__(self, kill: dict[str, Any], pattern_of: Callable[[str], Any]) -> None:
        glob = kill.get("path", "*")
        self.anything = glob in ("*", "**")
        self._point = kill["point"]
        self._left = int(kill.get("nth", 1))
        self._bytes = int(kill.get("bytes", 16))
        self._by_name = "/" not in glob
        whole = self._by_name or glob.startswith("/")
        self._pattern: re.Pattern[str] = pattern_of(glob if whole else "**/" + glob)

    def fits(self, path: str) -> bool:
        """True when this file counts."""
        name = path.rpartition("/")[2] if self._by_name else path
        return self._pattern.fullmatch(name) is not None

    def before_bytes(self, path: str, size: int) -> int | None:
        """How many of the `size` bytes still get there; None to live."""
        if size and self._reached("mid_bytes"):
            return min(self._bytes, size - 1)
        return None

    def before_rename(self, path: str) -> bool:
        """True to die now."""
        return self._reached("before_rename")

    def _reached(self, point: str) -> bool:
        if point != self._point:
            return False
        self._left -= 1
        return self._left == 0

    def die(self) -> None:
        """End this process; does not return."""
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # the first process of a namespace cannot kill itself


def install(text: str) -> None:
    """Die where PROOFRIG_KILL says. After `observing.install()`, before the agent is imported."""
    files = import_module("proofrig.observers.files")
    files.watch({}, kill=KillPoint(json.loads(text), files.pattern_of))
