"""Files of a box from outside, in a folder that stands for its root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes import rooted


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    folder = tmp_path / "box"
    folder.mkdir()
    (tmp_path / "host").write_text("host")
    root = os.open(folder, os.O_PATH)
    yield root, folder
    os.close(root)


def test_writes_with_the_folders_around(box: tuple[int, Path]) -> None:
    root, folder = box
    rooted.put(root, "/a/b/c", b"long data", 0o640, -1)
    rooted.put(root, "/a/b/c", b"data", 0o750, -1)
    assert (folder / "a/b/c").read_bytes() == b"data"
    assert (folder / "a/b/c").stat().st_mode & 0o777 == 0o750
    assert rooted.get(root, "/a/b/c", 3) == b"dat"


def test_links_mean_what_they_mean_in_the_box(box: tuple[int, Path], tmp_path: Path) -> None:
    root, folder = box
    (folder / "up").symlink_to("../../../../" + str(tmp_path))
    (folder / "out").symlink_to(tmp_path)
    (folder / "file").symlink_to(tmp_path / "host")
    for path in ("/up/host", "/out/host", "/../host"):
        with pytest.raises(FileNotFoundError):
            rooted.get(root, path, 9)
    with pytest.raises(SandboxError, match="cannot write /file in the box"):
        rooted.put(root, "/file", b"x", 0o644, -1)
    with pytest.raises(SandboxError, match="cannot read /file in the box"):
        rooted.get(root, "/file", 9)
    assert (tmp_path / "host").read_text() == "host"


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file(box: tuple[int, Path], kind: str) -> None:
    root, folder = box
    os.mkfifo(folder / "x") if kind == "pipe" else (folder / "x").mkdir()
    with pytest.raises(SandboxError, match="cannot read /x in the box"):
        rooted.get(root, "/x", 9)
    with pytest.raises(SandboxError, match="cannot write /x in the box"):
        rooted.put(root, "/x", b"x", 0o644, -1)
