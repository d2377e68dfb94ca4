"""The files of a box as the runner reaches them."""

from __future__ import annotations

import os
from pathlib import Path

from proofrig.sandboxes.box_files import BoxFiles


def test_files_now_and_before(tmp_path: Path) -> None:
    for name in ("now", "before"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "now" / "big").write_bytes(b"x" * 100_000)
    made = BoxFiles(
        name="b",
        at=tmp_path,
        uid=os.getuid(),
        ids=(0, 0),
        lower=tmp_path / "before",
        in_dev=(),
        room=None,
        bwrap="",
        filter="",
        watched="",
    )
    made.took([os.open(tmp_path / "now", os.O_RDONLY) for _ in range(4)])
    assert made.read("/file", 99) == b"now"
    assert made.read_before("/file", 99) == b"before"
    assert made.read("/none", 99) == made.read_before("/none", 99) == b""
    assert 100_000 <= made.used_bytes() < 200_000
    assert (made.owner, made.full()) == (-1, False)
    made.close()
    made.close()
