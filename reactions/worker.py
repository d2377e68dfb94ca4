"""Runs clients in the interpreter that has them: imports their libraries once, then forks a process
for each ask. Standard library only.

    worker.py MODULE            a file of `clients/`
    stdin   {"id": 1, "function": "chat", "env": {...}, "told": {...}}
    stdout  {"id": 1, "pid": 4711}   {"id": 1, "ran": {...}}   {"id": 1, "text": "..."}
            {"id": 1, "end": 0}

Rules:
1. A client is a function of its module; it gets `told` and a `Reporter`, and returns the text that
   its user sees. What it raises is reported by name.
2. Each line is one write, short enough to be whole beside those of other processes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).parent / "clients"
OUT = os.dup(1)
LONGEST = 500  # characters of a text, so that a line stays below PIPE_BUF


class Reporter:
    """What a client says while it runs."""

    def __init__(self, number: int) -> None:
        self._number = number

    def say(self, **told: Any) -> None:
        line = json.dumps({"id": self._number, **told}, default=repr) + "\n"
        os.write(OUT, line.encode("ascii"))

    def ran(self, **arguments: Any) -> None:
        """The agent carried its tool out, with these arguments."""
        short = {k: v if len(repr(v)) < LONGEST else "..." for k, v in arguments.items()}
        self.say(ran=short)


def carry_out(module: Any, ask: dict[str, Any]) -> None:
    """Run one ask, here, and report how it ended."""
    reporter = Reporter(ask["id"])
    os.environ.update(ask["env"])
    try:
        text = getattr(module, ask["function"])(ask["told"], reporter)
    except BaseException as error:
        grouped = isinstance(error, BaseExceptionGroup)
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        kind, words = type(error), str(error)[:300]
        module = kind.__module__.partition(".")[0]
        reporter.say(error=kind.__name__, module=module, grouped=grouped, words=words)
    else:
        reporter.say(text=text if text is None else str(text)[:LONGEST])


def fork(module: Any, ask: dict[str, Any]) -> int:
    """Run an ask in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        carry_out(module, ask)
    finally:
        os._exit(0)


def load(name: str) -> Any:
    """A module of `clients/`, ready to fork."""
    sys.path.insert(0, str(CLIENTS))
    spec = importlib.util.spec_from_file_location(f"client_{name}", CLIENTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    warnings.simplefilter("ignore")
    module = load(sys.argv[1])
    Reporter(0).say(versions=module.versions())
    running: dict[int, int] = {}  # process id -> ask
    buffered, open_ = b"", True
    while open_ or running:
        ready = select.select([0] if open_ else [], [], [], 0.02 if running else None)[0]
        if ready:
            read = os.read(0, 65_536)
            open_ = bool(read)
            for pid in () if open_ else running:
                os.kill(pid, signal.SIGKILL)  # nobody asks any more
            *lines, buffered = (buffered + read).split(b"\n")
            for line in lines:
                ask = json.loads(line)
                pid = fork(module, ask)
                running[pid] = ask["id"]
                Reporter(ask["id"]).say(pid=pid)
        while running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            Reporter(running.pop(pid)).say(end=killed)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks ends it by closing its stdin
    main()
