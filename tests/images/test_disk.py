"""The disk: all of it, not compressed, root's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from image_parts import needs_squashfs
from proofrig.images.disk import write_disk


@needs_squashfs
def test_a_disk_holds_the_files_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    text = "to be found as it is " * 100
    (root / "etc/file").write_text(text)
    (root / "link").symlink_to("etc/file")
    write_disk(root, tmp_path / "disk")
    assert text.encode() in (tmp_path / "disk").read_bytes()
    listed = ["unsquashfs", "-lls", "-d", "", tmp_path / "disk"]
    rows = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
    found = {row.split()[-1]: row.split()[:2] for row in rows if row.startswith(("-", "d", "l"))}
    assert found["/etc/file"] == ["-rw-r--r--", "root/root"]
    assert "/link -> etc/file" in "\n".join(rows)
