"""The files that `proofrig init` writes: a small suite that runs at once.

Rules:
1. Nothing is overwritten unless forced; what stands in the way is all named before anything is
   written.
2. The suite's first line points to the schema beside it, so that editors complete offline.
3. Python files lie here as `.py.txt`: they are the user's, not part of the package.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from proofrig.errors import UsageError
from proofrig.suites import schema

FILES = ("suite.yaml", "agent.py", "tools.py", "model.yaml", "README.md")


def scaffold_files() -> dict[str, str]:
    """File name -> text of a new suite."""
    folder = resources.files("proofrig.suites") / "scaffold"
    stored = {name: f"{name}.txt" if name.endswith(".py") else name for name in FILES}
    texts = {name: (folder / file).read_text("utf-8") for name, file in stored.items()}
    return {**texts, schema.NAME: schema.published()}


def write_scaffold(directory: Path, force: bool = False) -> list[Path]:
    """Write a new suite into `directory`, which is created; the paths written, suite first.

    Raises UsageError when a file is there already and `force` is off.
    """
    files = scaffold_files()
    taken = [name for name in files if (directory / name).exists()]
    if taken and not force:
        raise UsageError(
            f"{directory} already holds {', '.join(taken)}; choose another folder, or overwrite "
            "with --force"
        )
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"expected a folder, got the file {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
    return [directory / name for name in files]
