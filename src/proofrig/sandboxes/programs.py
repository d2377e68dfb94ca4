"""What a program of the host needs to run in a box: the files and folders to show it.

Rules:
1. What every box of the host's files has (`SYSTEM`) is never named.
2. An interpreter of Python says itself what it is made of; of any other program only its own file
   can be told, and what its link leads to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import lru_cache

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")  # a box of the host has them
PYTHONS = ("python", "pypy")


def needed_by(program: str, apart: str = "") -> set[str]:
    """Absolute paths that `program`, a path or a name on PATH, runs from; none when it is not
    found. Folders in which `apart` lies are left out: what is beside it is not the program's."""
    path = os.path.abspath(program) if "/" in program else shutil.which(program)
    if path is None or not os.path.exists(path):
        return set()
    if not os.path.basename(os.path.realpath(path)).startswith(PYTHONS):
        return {path, os.path.realpath(path)}
    found = _python(path)
    return {one for one in found if not apart or not _holds(one, apart)}


def outermost(paths: Iterable[str]) -> list[str]:
    """The paths without those that lie in another of them, or in what every box has; sorted."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(_holds(above, path) for above in (*SYSTEM, *kept)):
            kept.append(path)
    return kept


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


@lru_cache(maxsize=32)
def _python(interpreter: str) -> frozenset[str]:
    """The folders that an interpreter runs from."""
    asked = "import sys, json; print(json.dumps([sys.prefix, sys.base_prefix, *sys.path]))"
    ran = subprocess.run(
        [interpreter, "-c", asked], cwd="/", capture_output=True, text=True, check=False
    )
    told: list[str] = json.loads(ran.stdout) if ran.returncode == 0 else []
    return frozenset(os.path.abspath(path) for path in told if path and os.path.isdir(path))
