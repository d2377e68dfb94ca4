"""Where runs are kept, and how to name them on a command line.

Rules:
1. A command that proofrig prints works as it stands in the directory where it was printed.
2. A run below the default root is named by its id, any other by its path.
3. What other systems read (annotations, code scanning) names a file as its repository does.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

RUNS = "runs"


def default_root() -> Path:
    """Where runs are kept unless `--root` says otherwise."""
    return Path(os.environ.get("PROOFRIG_ROOT") or ".proofrig")


def run_name(run_dir: Path) -> str:
    """What to write for a run: `proofrig show <run_name>`. Quoted for a shell."""
    below_default = default_root().absolute() / RUNS
    return shlex.quote(run_dir.name if run_dir.parent == below_default else shortest(run_dir))


def root_option(run_dir: Path) -> str:
    """The words that keep new runs beside this one; "" where that is the default."""
    root = run_dir.parent.parent
    if run_dir.parent.name != RUNS or root == default_root().absolute():
        return ""
    return f" --root {shlex.quote(shortest(root))}"


def shortest(path: Path) -> str:
    """A path, relative to the current directory where that is shorter."""
    absolute = str(path.absolute())
    return min(os.path.relpath(absolute), absolute, key=len)


def in_repository(path: Path) -> str:
    """A file as its repository names it, with `/`; outside of any, relative to the current
    directory where it lies below, else absolute."""
    whole = path.absolute()
    roots = [folder for folder in whole.parents if (folder / ".git").exists()]
    for root in (*roots[:1], Path.cwd()):
        if whole.is_relative_to(root):
            return whole.relative_to(root).as_posix()
    return whole.as_posix()
