"""What a request spent waiting for a connection of its client's pool, and on the rest of its way.

Fed by transport events (`httpx_transport.py`, `aiohttp_trace.py`). Standard library only, Python
3.9+.

Rules:
1. An action `pool.request` goes from the request's entering the pool to its giving back the
   connection: that long it holds one, or waits for one.
2. `wait_ns` ends with the first sign of a connection: connecting, or sending. Times add up:
   wait, connect, send, time to first byte, body. What did not happen is left out.
3. `ok`: it was answered, and read as far as the agent wanted; `fail`: it certainly never left;
   else `unknown`.
4. A pool is named `<library>:<process>.<n>`, by the number of a shared host or the process id; its
   limits are noted with its first request.
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from proofrig.observers._watch import shown
from proofrig.observers.recorder import Attrs, Begun, Recorder

EARLY = ("GeneratorExit", "CancelledError", "Cancelled")  # the agent stopped reading

_numbers = itertools.count(1)
_lock = threading.Lock()
_FIRST = os.getpid()  # a forked child has pools of its own


def pool_name(pool: Any, library: str, recorder: Recorder, limits: Callable[[], Attrs]) -> str:
    """The pool's name; its first request notes its limits."""
    pid = os.getpid()
    known: tuple[int, str] | None = pool.__dict__.get("_proofrig_pool")
    if known is not None and known[0] == pid:
        return known[1]
    with _lock:
        known = pool.__dict__.get("_proofrig_pool")
        if known is None or known[0] != pid:
            known = pool.__dict__["_proofrig_pool"] = (
                pid,
                f"{library}:{_process(pid)}.{next(_numbers)}",
            )
            found = {key: value for key, value in limits().items() if _is_limit(value)}
            recorder.note("pool", {"service": known[1], **found})
    return known[1]


def _process(pid: int) -> str:
    """What tells this process from others: the same in every run where that can be."""
    return os.environ.get("PROOFRIG_WORKER", str(pid)) if pid == _FIRST else str(pid)


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < sys.maxsize


class Timing:
    """One request on its way. The marks are `time.monotonic_ns`, 0 while they have not come."""

    __slots__ = (
        *("begun", "recorder", "connect", "send", "sent", "headers", "body_end"),
        *("status", "stream", "error", "told", "done"),
    )

    def __init__(self, recorder: Recorder, begun: Begun, told: bool) -> None:
        self.recorder = recorder
        self.told = told  # its pool says when it sends: rule 3
        self.begun = begun
        self.connect = self.send = self.sent = self.headers = self.body_end = 0
        self.status = 0
        self.stream = False
        self.error = ""
        self.done = False
        OPEN[id(self)] = self

    def finish(self, error: BaseException | None = None) -> None:
        """The connection was given back, or never got. Finishing twice is fine."""
        if self.done:
            return
        self.done = True
        OPEN.pop(id(self), None)
        outcome = "ok" if self.headers and error is None and not self.error else "unknown"
        attrs = self.measured(time.monotonic_ns())
        if error is not None:
            self.error = shown(error)
            if self.told and not self.send:
                outcome = "fail"
        elif not self.body_end and not self.error:
            self.error = "the answer was not read to its end"
        if self.error:
            attrs["error"] = self.error
        self.recorder.commit(self.begun, outcome, attrs)

    def measured(self, now: int) -> Attrs:
        """The times that are known, and what came back."""
        start = self.begun.t
        attrs: Attrs = {"wait_ns": (self.connect or self.send or now) - start}
        if self.connect:
            attrs["connect_ns"] = (self.send or now) - self.connect
        if self.send:
            attrs["send_ns"] = (self.sent or self.headers or now) - self.send
        if self.sent and (self.headers or not self.body_end):
            attrs["ttfb_ns"] = (self.headers or now) - self.sent
        if self.headers:
            attrs["body_ns"] = (self.body_end or now) - self.headers
        if self.status:
            attrs["status"] = self.status
        if self.stream:
            attrs["stream"] = True
        return attrs


OPEN: dict[int, Timing] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OPEN.clear)  # they are the parent's
_settling: set[int] = set()


def begin(recorder: Recorder, request: Attrs, retries: str | None, *, told: bool) -> Timing | None:
    """Begin a request of a pool. request: `service`, `host`, `method`, `path`; retries: what the
    client's `x-stainless-retry-count` says; told: the pool says when it sends."""
    attempt = int(retries) + 1 if retries and retries.isdigit() else 1
    begun = recorder.begin("pool.request", {**request, "attempt": attempt})
    if begun is None:
        return None
    if id(recorder) not in _settling:
        _settling.add(id(recorder))
        recorder.closing.append(settle_open)
        atexit.register(recorder.close)
    return Timing(recorder, begun, told)


def settle_open() -> None:
    """Say of every request that is still open what is known: the process is about to end."""
    for timing in list(OPEN.values()):
        timing.error = timing.error or "still open when the process ended"
        timing.finish()


def is_stream(content_type: str) -> bool:
    """True for an answer that comes in pieces as they are made."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("text/event-stream", "application/x-ndjson", "application/jsonl")
