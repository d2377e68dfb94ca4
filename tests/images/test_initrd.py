"""The RAM disk: an archive that others can read, the same each time."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from proofrig.images.initrd import Entry, archive, initrd

needs_busybox = pytest.mark.skipif(
    shutil.which("busybox") is None,
    reason="busybox is not installed (Debian: apt-get install busybox-static)",
)


def unpacked(data: bytes, folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """What busybox finds in an archive: path -> (mode, content; None of a folder)."""
    subprocess.run(
        ["busybox", "cpio", "-i", "-d"], cwd=folder, input=data, check=True, capture_output=True
    )
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.stat().st_mode
        content = None if stat.S_ISDIR(mode) else path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.S_IMODE(mode), content)
    return found


@needs_busybox
def test_an_archive_holds_what_it_was_given(tmp_path: Path) -> None:
    entries = [
        Entry("a", None),
        *(Entry(f"a/{'n' * size}", b"x" * size, 0o600 + size) for size in range(1, 9)),
        Entry("b", bytes(range(256)), 0o755),
    ]
    assert unpacked(archive(entries), tmp_path) == {
        entry.path: (0o755 if entry.content is None else entry.mode, entry.content)
        for entry in entries
    }


@needs_busybox
def test_modules_lie_beside_their_order(tmp_path: Path) -> None:
    made = initrd(b"#!/bin/busybox sh\n", b"shell", iter([("b.ko", b"B"), ("a.ko", b"A")]))
    assert unpacked(made, tmp_path) == {
        "init": (0o755, b"#!/bin/busybox sh\n"),
        "bin": (0o755, None),
        "bin/busybox": (0o755, b"shell"),
        "m": (0o755, None),
        "m/order": (0o644, b"b.ko\na.ko\n"),
        "m/a.ko": (0o644, b"A"),
        "m/b.ko": (0o644, b"B"),
    }


def test_the_same_content_is_the_same_archive() -> None:
    given = (b"init", b"shell", [("a.ko", b"A")])
    assert initrd(*given) == initrd(*given) != initrd(b"other", *given[1:])
