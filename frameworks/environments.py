"""Each framework's own cached virtual environment, made from its lock.

Rules:
1. An environment is named by its lock's digest: a changed lock makes a new one, an unchanged lock
   none, and the environments of earlier locks are removed.
2. An environment counts once its stamp is there, written last: half an install is begun again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = "requirements.lock"
STAMP = ".installed"


def environment(framework: Path, cache: Path) -> Path:
    """The virtual environment of the framework in this folder; made when it is not there yet.
    Raises SystemExit with pip's words when it cannot be made."""
    lock = framework / LOCK
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    home = cache / framework.name
    found = home / digest
    if (found / STAMP).is_file():
        return found
    print(f"{framework.name}: installing {lock} into {found}", flush=True)
    home.mkdir(parents=True, exist_ok=True)
    for stale in home.iterdir():
        shutil.rmtree(stale)
    _do([sys.executable, "-m", "venv", str(found)])
    pip = [str(found / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    _do([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(lock)])
    (found / STAMP).touch()
    return found


def _do(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}")
