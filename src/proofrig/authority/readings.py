"""The ways in which a tool may read a written path.

Rules:
1. Every way of reading is applied to every reading until nothing new comes out: what is hidden
   twice is found too. More than MAX_READINGS ways is no path.
2. What no reader could agree on is refused: NUL, `~`, drives and other machines.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from proofrig.authority.arguments import Unread, shown

MAX_READINGS = 32

_PLAIN = re.compile(r"[A-Za-z0-9_@+=,./-]+").fullmatch
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_FILE = re.compile(r"\s*file:(?://([^/\\]*))?", re.IGNORECASE)
_STRUCTURE = frozenset("/\\.%~: ")


def is_plain(path: str) -> bool:
    """Whether there is one way to read `path`, and nothing in it to fold but its case."""
    return (
        _PLAIN(path) is not None
        and "//" not in path
        and "./" not in path
        and ".." not in path
        and path[-1] not in "./"
    )


def readings(path: str) -> list[str]:
    """Every way to read `path`, itself first. Raises Unread."""
    if is_plain(path):
        return [path]
    found = [path]
    for reading in found:  # grows while it is walked
        _check(reading)
        for other in _others(reading):
            if other not in found:
                found.append(other)
        if len(found) > MAX_READINGS:
            raise Unread(f"expected a path with one meaning, got {shown(path)}")
    return found


def _check(path: str) -> None:
    if "\0" in path:
        raise Unread(f"expected a path without NUL, got {shown(path)}")
    if path.lstrip().startswith("~"):
        raise Unread(
            f"expected a path that is written out, got {shown(path)}; ~ depends on its reader"
        )
    if _DRIVE.match(path.lstrip()):
        raise Unread(f"expected a path without a drive, got {shown(path)}")
    if any(0xD800 <= ord(c) <= 0xDFFF for c in path):
        raise Unread(f"expected a path of valid Unicode, got {path!a:.60}")


def _others(path: str) -> Iterator[str]:
    if "\\" in path:
        yield path.replace("\\", "/")
    if "%" in path:
        yield unquote(path, errors="surrogateescape")
    if url := _FILE.match(path):
        if url[1] and url[1].lower() not in ("localhost", "127.0.0.1", "[::1]"):
            raise Unread(f"expected a path on this machine, got {shown(path)}")
        whole = path[url.end() :] or "/"
        yield whole
        yield re.split(r"[?#]", whole)[0] or "/"
    if not path.isascii():
        yield "".join(c for c in path if unicodedata.category(c) != "Cf")  # what prints as nothing
        alike = unicodedata.normalize("NFKC", path)
        if sum(c in _STRUCTURE for c in alike) != sum(c in _STRUCTURE for c in path):
            yield alike
    forgiven = "/".join(_forgiven(level) for level in path.split("/"))
    if forgiven != path:
        yield forgiven


def _forgiven(level: str) -> str:
    """A level without the spaces around it and the dots behind it, which some systems drop."""
    level = level.strip()
    return level if level in (".", "..") else level.rstrip(" .") or level
