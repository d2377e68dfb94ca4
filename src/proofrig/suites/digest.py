"""The identity of what a suite says: one digest over values and the files they name.

Rules:
1. A text that names a file of the suite (with a suffix) stands for its content as well, and so
   does a `target` that names a module of the suite. Folders are named by the caller; all other
   texts stand for themselves.
2. Where the suite lies, the order of keys and the times of files do not matter.
3. Links are not followed out of the suite.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

_SKIPPED = {"__pycache__", ".git", ".venv", ".proofrig"}


def digest_of(value: Any, directory: Path, folders: Iterable[str] = ()) -> str:
    """sha256 hex of a JSON-like value, of the files below `directory` that its texts name, and of
    all that lies in `folders` of it."""
    named = {name for text in _texts(value) for name in _names(text)}
    root = _real(str(directory))
    files = {name: found for name in named if (found := _file(root, name))}
    for folder in folders:
        files |= _folder(root, folder)
    text = json.dumps([value, files], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 hex of a file's bytes, remembered while its size and times stay the same."""
    found = path.stat()
    return _hashed(str(path), found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, mtime_ns: int, inode: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(part)
            if key == "target" and isinstance(part, str) and ":" not in part:
                yield f"{part}:"  # a whole module
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _names(text: str) -> Iterator[str]:
    """The relative paths that a text may mean: itself, and `a/b.py` for the target `a.b:name`."""
    if not text or len(text) > 250 or text[0] in "/~" or not text.isprintable():
        return
    text = text.removeprefix("{suite}/").removeprefix("./")
    module, colon, _ = text.partition(":")
    if colon and module.replace(".", "").isidentifier():
        path = module.replace(".", "/")
        yield from (f"{path}.py", f"{path}/__init__.py")
    elif "." in text and ".." not in text:
        yield text


@lru_cache(maxsize=16)
def _real(directory: str) -> str:
    return os.path.realpath(directory)


def _file(root: str, name: str) -> str | None:
    path = os.path.join(root, name)
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode) or not _inside(root, path):
            return None
        return file_digest(Path(path))
    except OSError:
        return None


def _folder(root: str, folder: str) -> dict[str, str]:
    if not _inside(root, os.path.join(root, folder)):
        return {}
    found = {}
    for parent, folders, files in os.walk(os.path.join(root, folder)):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in files:
            path = os.path.relpath(os.path.join(parent, name), root)
            if digest := _file(root, path):
                found[path] = digest
    return found


def _inside(root: str, path: str) -> bool:
    return os.path.realpath(path).startswith(root + os.sep)
