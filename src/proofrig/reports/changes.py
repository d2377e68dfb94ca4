"""What a trial changed on disk and which packages it installed, ready to be shown.

Rules:
1. It comes from the manifest that the trial's end names, as its box wrote it. The names in it are
   the trial's own: they are cleaned and cut.
2. Only the first paths are shown, in order; the others are counted.
"""

from __future__ import annotations

import msgspec

from proofrig.reports.words import amount, line, plural

ROWS = 200
PACKAGES = 50
PATH = 300  # characters
ROW_TEXT = 10  # characters of an excerpt that a row takes the room of


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A path, what was done to it, and its size in words, "" where it has none."""

    path: str
    what: str
    size: str


class Left(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a trial left. says: all of it, counted. more: paths that are not in `rows`. packages:
    each with its bytes. doubt: why there may be more."""

    says: str
    rows: list[Row] = []
    more: int = 0
    packages: list[str] = []
    doubt: str = ""


class _Change(msgspec.Struct):
    path: str
    change: str
    kind: str = "file"
    size: int = 0
    target: str = ""


class _Package(msgspec.Struct):
    manager: str
    name: str
    version: str
    bytes: int


class _Manifest(msgspec.Struct):
    entries: list[_Change] = []
    packages: list[_Package] = []
    complete: bool = True
    within: str = ""
    error: str = ""


def left(data: bytes | None, text: int) -> Left | None:
    """What a manifest says, with as many rows as excerpts of `text` characters leave room for; None
    where there is none, or none that can be read."""
    if data is None:
        return None
    try:
        manifest = msgspec.json.decode(data, type=_Manifest)
    except msgspec.MsgspecError:
        return None
    most = min(ROWS, text // ROW_TEXT)
    rows = [_row(one) for one in manifest.entries[:most]]
    return Left(
        _counted(manifest),
        rows,
        len(manifest.entries) - len(rows),
        [_package(one) for one in manifest.packages[: min(PACKAGES, most)]],
        _doubt(manifest),
    )


def _row(one: _Change) -> Row:
    path = f"{one.path} -> {one.target}" if one.target else one.path
    what = one.change if one.kind == "file" else f"{one.change} {one.kind}"
    return Row(line(path, PATH), what, amount(one.size, "bytes") if one.kind == "file" else "")


def _package(one: _Package) -> str:
    name = line(f"{one.manager} {one.name} {one.version}".rstrip(), PATH)
    return f"{name}, {amount(one.bytes, 'bytes')}"


def _counted(manifest: _Manifest) -> str:
    counts = dict.fromkeys(("added", "changed", "deleted"), 0)
    for one in manifest.entries:
        counts[one.change] = counts.get(one.change, 0) + 1
    said = [f"{count:,} {what}" for what, count in counts.items() if count]
    if manifest.packages:
        size = amount(sum(one.bytes for one in manifest.packages), "bytes")
        said.append(f"{plural(len(manifest.packages), 'package')} installed ({size})")
    return ", ".join(said) or "nothing"


def _doubt(manifest: _Manifest) -> str:
    if manifest.error:
        return line(manifest.error, PATH)
    if not manifest.complete:
        return "There was more than could be listed."
    return f"Known only below {line(manifest.within, PATH)}." if manifest.within else ""
