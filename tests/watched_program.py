"""Runs a Python program as the host runs an agent: files watched, killed where it is told to be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofrig.agents.hosting import HOST
from proofrig.history.action import Action
from proofrig.history.history import History, pair

PRELUDE = """
import os, sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("host", os.environ["HOST"])
host = module_from_spec(spec)
spec.loader.exec_module(host)
observing = host.load_neighbour("observing")
observing.install()
if os.environ.get("PROOFRIG_FILES"):
    import_module("proofrig.observers.files").install(os.environ["PROOFRIG_FILES"])
if os.environ.get("PROOFRIG_KILL"):
    host.load_neighbour("kill_points").install(os.environ["PROOFRIG_KILL"])
os.chdir(os.environ["WORK"])
"""


def pythons() -> list[str]:
    """This interpreter, and others from 3.9 on that can be found and run."""
    found = [sys.executable]
    for minor in (9, 10, 12, 13, 14):
        program = shutil.which(f"python3.{minor}")
        if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            found.append(program)
    return found


@dataclass
class Program:
    """A folder `work` with the shared folder `shared` in it, and the history of what ran there."""

    folder: Path
    globs: dict[str, str] = field(default_factory=lambda: {"notes": "shared/**"})
    python: str = sys.executable
    observed: bool = True

    def __post_init__(self) -> None:
        self.work, self.run_dir = self.folder / "work", self.folder / "run"
        self.shared = self.work / "shared"
        self.shared.mkdir(parents=True)
        (self.run_dir / "history").mkdir(parents=True)
        self.origin = time.monotonic_ns()

    def run(
        self,
        code: str,
        *,
        kill: dict[str, Any] | None = None,
        trial: str = "case:0",
        before: str = "",
    ) -> str:
        """Run `before`, watch, run `code`; what it printed, or `killed` by SIGKILL."""
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "HOST": str(HOST),
            "WORK": str(self.work),
            "PROOFRIG_TRIAL": trial,
            "PROOFRIG_FILES": json.dumps(
                {name: str(self.work / glob) for name, glob in self.globs.items()}
            ),
        }
        if self.observed:
            env["PROOFRIG_HISTORY"] = str(self.run_dir / "history")
            env["PROOFRIG_ORIGIN_NS"] = str(self.origin)
        if kill is not None:
            env["PROOFRIG_KILL"] = json.dumps(kill)
        script = f"{before}\n{PRELUDE}\n{code}\nobserving.close()\n"
        ran = subprocess.run(
            [self.python, "-W", "error", "-c", script],
            env=env,
            capture_output=True,
            text=True,
        )
        if ran.returncode == -9:
            return "killed"
        assert ran.returncode == 0 and not ran.stderr, ran.stderr
        return ran.stdout.strip()

    def actions(self) -> list[Action]:
        """What is on the history."""
        history = History(self.run_dir)
        found = list(pair(e for e in history.entries() if e.name.startswith("file.")))
        assert history.problems == []
        return found

    def told(self) -> list[tuple[str, str, Any, str]]:
        """(name, key, value it came to, outcome) of each action, in the order of their begin."""
        found = []
        for action in sorted(self.actions(), key=lambda a: a.start.t if a.start else 0):
            assert action.start is not None and action.attr("service") == "notes"
            assert action.attr("path") == action.attr("key")
            ended = action.end.attrs if action.end is not None else {}
            value = ended.get("value", action.start.attrs.get("value", "-"))
            outcome = action.outcome if action.end is not None else "open"
            found.append((action.name, action.attr("key"), value, outcome))
        return found
