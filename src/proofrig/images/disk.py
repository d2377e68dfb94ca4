"""The disk of a vm: the root file system as one read-only file.

Rules:
1. Not compressed: under emulation unpacking costs more than reading.
2. Everything is root's, whoever built it.
"""

from __future__ import annotations

from pathlib import Path

from proofrig.images.tools import run

_PLAIN = ("-noI", "-noD", "-noF", "-noX", "-no-xattrs")


def write_disk(root: Path, disk: Path) -> None:
    """Write what lies below `root` as a squashfs file. Raises Unavailable."""
    options = ["-all-root", "-noappend", "-no-progress", "-quiet", *_PLAIN]
    run(["mksquashfs", root, disk, *options], "write the disk of the image")
