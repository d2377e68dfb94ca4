"""Which packages a trial installed, by what lies on its disk afterwards.

Rules:
1. A package counts by the file that only an installed one has: `*.dist-info/METADATA` (pip and all
   that install as it does), `node_modules/<name>/package.json`, a paragraph of dpkg's `status`.
2. What was there before and is as it was is none: only added and changed files are looked at.
3. Names and versions are what the package says of itself. Its bytes are never: they are those of
   the files that were really written, of pip and dpkg the ones in its own list of files.
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from proofrig.sandboxes.sandbox import Change, Package

MOST = 10_000  # packages
META = 1 << 20  # bytes of a file that describes one package
LIST = 32 << 20  # bytes of a list of files, or of all that dpkg knows
TEXT = 200  # characters of a name or a version

_PIP = re.compile(r"(?P<site>.*)/[^/]+\.dist-info/METADATA", re.DOTALL)
_NPM = re.compile(r"(?P<home>.*/node_modules/(?:@[^/]+/)?[^/@.][^/]*)/.+", re.DOTALL)
_DPKG = "/var/lib/dpkg"

Manager = Literal["pip", "npm", "apt"]
Read = Callable[[str, int], bytes]  # path in the box, most bytes -> the file's; b"" where none is


class _Described(msgspec.Struct):
    name: str = ""
    version: str = ""


def packages_in(entries: Iterable[Change], read: Read, before: Read) -> tuple[Package, ...]:
    """The packages among what was added and changed. read: a file as it is now. before: a file as
    it was, for dpkg's list. Sorted by manager, name and version."""
    sizes = {
        one.path: one.size for one in entries if one.kind == "file" and one.change != "deleted"
    }
    found = [*_pip(sizes, read), *_npm(sizes, read), *_apt(sizes, read, before)]
    found.sort(key=lambda one: (one.manager, one.name, one.version))
    return tuple(found[:MOST])


def _pip(sizes: dict[str, int], read: Read) -> Iterator[Package]:
    for path in sizes:
        described = _PIP.fullmatch(path)
        if described is None:
            continue
        said = _headers(_text(read(path, META)).split("\n\n")[0])
        rows = csv.reader(_text(read(f"{posixpath.dirname(path)}/RECORD", LIST)).splitlines())
        files = {posixpath.normpath(f"{described['site']}/{name}") for name in _firsts(rows)}
        if said.get("Name"):
            yield _package("pip", said["Name"], said.get("Version", ""), files | {path}, sizes)


def _firsts(rows: Iterator[list[str]]) -> Iterator[str]:
    """The first fields of a table, as far as it can be read."""
    try:
        yield from (row[0] for row in rows if row)
    except csv.Error:
        return


def _npm(sizes: dict[str, int], read: Read) -> Iterator[Package]:
    homes: dict[str, set[str]] = {}
    for path in sizes:
        lies = _NPM.fullmatch(path)
        if lies is not None:
            homes.setdefault(lies["home"], set()).add(path)
    for home, files in homes.items():
        if f"{home}/package.json" not in files:
            continue
        try:
            said = msgspec.json.decode(read(f"{home}/package.json", META), type=_Described)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if said.name:
            yield _package("npm", said.name, said.version, files, sizes)


def _apt(sizes: dict[str, int], read: Read, before: Read) -> Iterator[Package]:
    status = f"{_DPKG}/status"
    if status not in sizes:
        return
    known = set(_installed(before(status, LIST)))
    for name, version, machine in _installed(read(status, LIST)):
        if (name, version, machine) in known:
            continue
        listed = f"{_DPKG}/info/{name}"
        paths = read(f"{listed}.list", LIST) or read(f"{listed}:{machine}.list", LIST)
        lines = _text(paths).splitlines()
        # The lists name /bin and /lib also where these are links into /usr.
        files = {line if line in sizes else f"/usr{line}" for line in lines}
        yield _package("apt", name, version, files, sizes)


def _installed(status: bytes) -> Iterator[tuple[str, str, str]]:
    """Name, version and machine of what dpkg says is installed."""
    for paragraph in _text(status).split("\n\n"):
        said = _headers(paragraph)
        if said.get("Status", "").endswith(" installed") and "/" not in said.get("Package", "/"):
            yield said["Package"], said.get("Version", ""), said.get("Architecture", "")


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if line[:1] not in (" ", "\t"))
    found: dict[str, str] = {}
    for name, _, value in pairs:
        found.setdefault(name, value.strip())
    return found


def _package(
    manager: Manager, name: str, version: str, files: set[str], sizes: dict[str, int]
) -> Package:
    size = sum(sizes.get(path, 0) for path in files)
    return Package(manager, name[:TEXT], version[:TEXT], size)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
