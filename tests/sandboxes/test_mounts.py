"""System calls on mounts: places in a box are found without leaving it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proofrig.sandboxes import mounts


def read(root: int, path: str) -> bytes:
    with open(mounts.inside(root, path, os.O_RDONLY), "rb") as file:
        return file.read()


def test_inside_is_where_the_box_is(tmp_path: Path) -> None:
    box = tmp_path / "box"
    (box / "etc").mkdir(parents=True)
    (box / "etc" / "name").write_text("box")
    (tmp_path / "name").write_text("host")
    (box / "absolute").symlink_to("/etc/name")
    (box / "up").symlink_to("../../name")
    root = os.open(box, os.O_PATH)
    try:
        assert read(root, "/etc/name") == read(root, "/absolute") == b"box"
        assert read(root, "/../../etc/name") == b"box"
        with pytest.raises(FileNotFoundError, match="/up"):
            read(root, "/up")
    finally:
        os.close(root)


def test_a_failure_names_what_was_to_be_done() -> None:
    with pytest.raises(OSError, match="bind /no/such"):  # without root, for want of rights
        mounts.clone("/no/such")


def test_a_copy_keeps_its_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(32 << 20)
        file.write(b"end")
        file.truncate(64 << 20)
    made = mounts.copy_sparse(str(source), str(tmp_path / "copy"))
    os.close(made)
    copy = tmp_path / "copy"
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks * 512 < 1 << 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_what_is_given_loses_roots_rights(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "folder").mkdir(parents=True)
    for path in (tree / "folder" / "file", outside):
        path.write_text("")
        path.chmod(0o4755)
    (tree / "link").symlink_to(outside)
    mounts.give(str(tree), 65433)
    owners = {path.name: path.lstat().st_uid for path in [tree, *tree.rglob("*"), outside]}
    assert owners.pop("outside") == 0
    assert owners == dict.fromkeys(("tree", "folder", "file", "link"), 65433)
    assert (tree / "folder" / "file").stat().st_mode & 0o7777 == 0o755
