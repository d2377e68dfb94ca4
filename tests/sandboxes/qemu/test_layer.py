"""The layer of a guest, as its agent packs it: what is told of it, and what comes back."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proofrig.sandboxes.guest.evidence import pack
from proofrig.sandboxes.qemu.layer import Layer
from proofrig.sandboxes.sandbox import Changes

WORLD = "srv/world"


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    """An upper directory: a world in which something was changed, and one file elsewhere."""
    made = tmp_path / "upper"
    (made / WORLD / "sub").mkdir(parents=True)
    (made / WORLD / "sub" / "new").write_text("new")
    os.mknod(made / WORLD / "gone", stat.S_IFCHR, 0)
    (made / "tmp").mkdir()
    (made / "tmp" / "note").write_text("note")
    return made


def told(tmp_path: Path, upper: Path, world: Path) -> Changes:
    image, storage = tmp_path / "image", tmp_path / "storage"
    for folder in (image / "tmp", storage):
        folder.mkdir(parents=True)
    # The world's path in the guest is that of the host.
    moved = upper / str(world)[1:]
    moved.parent.mkdir(parents=True)
    (upper / WORLD).rename(moved)
    (upper / "srv").rmdir()
    around = frozenset(str(folder) for folder in world.parents)
    tar = tmp_path / "tar"
    pack(os.open(tar, os.O_WRONLY | os.O_CREAT), str(upper), 1 << 20)
    with open(tar, "rb") as file:
        found = Layer(storage, image, str(world), around).changes(file, None)
    assert list(storage.iterdir()) == []
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the mark of a deleted path is a device")
def test_world_and_all_else_are_told_and_the_world_comes_back(tmp_path: Path, upper: Path) -> None:
    world = tmp_path / "world"
    (world / "sub").mkdir(parents=True)
    (world / "gone").write_text("gone")
    changes = told(tmp_path, upper, world)
    assert (changes.error, changes.complete) == ("", True)
    assert {(one.path, one.change) for one in changes.entries} == {
        ("/tmp/note", "added"),
        (f"{world}/gone", "deleted"),
        (f"{world}/sub/new", "added"),
    }
    assert (world / "sub" / "new").read_text() == "new" and not (world / "gone").exists()


def test_a_link_instead_of_the_world_is_not_followed(tmp_path: Path, upper: Path) -> None:
    world, elsewhere = tmp_path / "world", tmp_path / "elsewhere"
    for folder in (world, elsewhere):
        folder.mkdir()
    (world / "kept").write_text("kept")
    here = upper / WORLD
    here.rename(upper / "moved")
    here.symlink_to(elsewhere)
    changes = told(tmp_path, upper, world)
    assert "something else where its world was" in changes.error
    assert list(elsewhere.iterdir()) == [] and (world / "kept").exists()
