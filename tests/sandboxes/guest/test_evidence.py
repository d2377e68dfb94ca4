"""The layer as a tar: what is told of each kind, and that too much is not told in part."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

from proofrig.sandboxes import trees
from proofrig.sandboxes.guest.evidence import pack


def packed(upper: Path, most: int, tmp_path: Path) -> bytes:
    target = tmp_path / "tar"
    pack(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), str(upper), most)
    return target.read_bytes()


def test_a_layer_is_told_as_it_is(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "folder").mkdir(parents=True)
    (upper / "folder" / "one").write_text("1")
    os.link(upper / "folder" / "one", upper / "two")
    (upper / "link").symlink_to("/etc/passwd")
    os.mkfifo(upper / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(upper / "socket"))
    with tarfile.open(fileobj=io.BytesIO(packed(upper, 100, tmp_path))) as tar:
        found = {member.name: member for member in tar}
        assert list(found) == ["folder", "folder/one", "link", "pipe", "two"]
        assert found["two"].isreg() and found["two"].size == 1, "a hard link is a file of its own"
        assert found["link"].linkname == "/etc/passwd" and found["pipe"].isfifo()


def test_too_much_is_not_told_at_all(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "large").write_bytes(bytes(1000))
    assert packed(tmp_path / "upper", 999, tmp_path) == b""
    assert packed(tmp_path / "upper", 1000, tmp_path) != b""


def test_depth_has_no_end_but_the_paths(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    inside = os.open(upper, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 10, dir_fd=inside)
        inside, above = os.open("d" * 10, os.O_RDONLY, dir_fd=inside), inside
        os.close(above)
    os.close(inside)
    with tarfile.open(fileobj=io.BytesIO(packed(upper, 0, tmp_path))) as tar:
        assert 300 < len(tar.getmembers()) < 1200
    trees.remove(upper)
