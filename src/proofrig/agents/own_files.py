"""Which files of the suite's folder an agent is made of: what a box shows of that folder.

A suite's folder holds the agent beside its cases, the answers and the checks. A box shows the
agent's own files and no others.

Rules:
1. What a Python file imports is read from its text, never run: a module or package of the folder
   that is imported anywhere in it, in functions too, is shown, and so on. A package is shown whole.
2. What cannot be told from imports (prompts, data, modules named by text) is named by the user.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

SKIPPED = frozenset(("__pycache__", ".git", ".venv", ".proofrig"))


def of_modules(names: Iterable[str], folder: Path) -> list[Path]:
    """The files and package folders below `folder` that the modules `names` are made of, sorted.
    What is not found there is somebody else's."""
    found: set[Path] = set()
    pending = [name.partition(".")[0] for name in names]  # a module is shown with its package
    while pending:
        place = _place(folder, pending.pop())
        if place is None or place in found:
            continue
        found.add(place)
        for file in _sources(place):
            pending += _imported(file, folder)
    return sorted(found)


def of_command(argv: Iterable[str], folder: Path) -> list[Path]:
    """The files below `folder` that the words of a command name, with what they import."""
    found: set[Path] = set()
    words = list(argv)
    for number, word in enumerate(words):
        if number and words[number - 1] == "-m":
            found.update(of_modules([word], folder))
            continue
        path = folder / word
        if word and not word.startswith("-") and _is_file(path) and _inside(path, folder):
            found.add(path)
            if path.suffix == ".py":
                found.update(of_modules(_imported(path, path.parent), path.parent))
    return sorted(found)


def matching(patterns: Iterable[str], folder: Path) -> list[Path]:
    """The files and folders that glob patterns name: relative ones below `folder`, absolute ones
    anywhere (those hold no wildcards). What names nothing is left out; see `missing`."""
    found: set[Path] = set()
    for pattern in patterns:
        if pattern.startswith("/"):
            found.update(path for path in (Path(pattern),) if path.exists())
        else:
            found.update(path for path in folder.glob(pattern) if _inside(path, folder))
    return sorted(found)


def missing(patterns: Iterable[str], folder: Path) -> list[str]:
    """The patterns that name nothing."""
    return [pattern for pattern in patterns if not matching([pattern], folder)]


def _place(folder: Path, name: str) -> Path | None:
    """The package folder or file of a top-level module."""
    if not name.isidentifier():
        return None
    package, module = folder / name, folder / f"{name}.py"
    if package.is_dir() and (any(package.glob("*.py")) or any(package.glob("*/*.py"))):
        return package
    return module if _is_file(module) else None


def _sources(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for path in sorted(place.rglob("*.py")):
        if SKIPPED.isdisjoint(path.relative_to(place).parts) and _is_file(path):
            yield path


def _imported(file: Path, folder: Path) -> list[str]:
    """Top-level names that a file imports, where they may lie in `folder`."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []  # the agent will say so itself when it is started
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return sorted(name for name in names if _place(folder, name) is not None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or holds a NUL
        return False


def _inside(path: Path, folder: Path) -> bool:
    return folder.resolve() in path.resolve().parents
