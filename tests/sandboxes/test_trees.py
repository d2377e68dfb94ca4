"""Walking what an agent made: deep, unreadable, linked, special, sparse."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from overlay_mounts import NEEDS_ROOT, NOBODY, deep, in_child, layers
from proofrig.sandboxes.sandbox import Keep
from proofrig.sandboxes.trees import HASHED, Contents, Tree, read, remove, shown

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason=NEEDS_ROOT)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tree"
    folder.mkdir()
    yield folder
    remove(folder)
    assert not folder.exists()


def names(folder: Path, most: int = 100) -> list[str]:
    with Tree(folder) as tree:
        return [name for name, _ in tree.walk(most)]


def test_folders_come_before_what_they_hold_in_order(made: Path) -> None:
    for name in ("b/2", "b/1", "a", "c/x/y"):
        (made / name).mkdir(parents=True)
    assert names(made) == ["a", "b", "1", "2", "c", "x", "y"]
    assert names(made, 3) == ["a", "b", "1"]


def test_depth_costs_no_descriptors(made: Path) -> None:
    deep(made, 2100)
    before = len(os.listdir("/proc/self/fd"))
    found = names(made, 10_000)
    assert found == ["d"] * 2100 + ["f"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_leads_nowhere_and_back(made: Path) -> None:
    (made / "out").symlink_to("/etc")
    (made / "file").touch()
    with Tree(made) as tree:
        for name in ("out", "file", "missing"):
            assert not tree.down(name)
            assert (tree.there, tree.names(), tree.stat("passwd")) == (False, [], None)
            assert not tree.down("further")
            tree.up()
            tree.up()
            assert tree.names() == ["file", "out"]


def test_only_regular_files_are_opened(made: Path) -> None:
    os.mkfifo(made / "pipe")
    (made / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listener, Tree(made) as tree:
        listener.bind(str(made / "socket"))
        for name in ("pipe", "link", "socket", "missing"):
            with pytest.raises(OSError):
                tree.open(name)
            assert read(made, [name], 10) == b""


def test_a_folder_that_is_moved_meanwhile_is_told(made: Path) -> None:
    (made / "a/b").mkdir(parents=True)
    (made / "other").mkdir()
    with Tree(made) as tree:
        tree.down("a")
        tree.down("b")
        (made / "a/b").rename(made / "other/b")
        with pytest.raises(OSError, match="moved"):
            tree.up()


@needs_root
def test_what_its_owner_may_not_read_is_opened_up_and_gets_its_mode_back() -> None:
    with layers() as found:
        dark = found.lower / "dark"
        (dark / "below").mkdir(parents=True)
        (dark / "secret").write_text("s")
        for path, mode in ((dark / "secret", 0), (dark / "below", 0o100), (dark, 0)):
            os.chown(path, NOBODY, NOBODY)
            path.chmod(mode)
        os.chown(found.lower, NOBODY, NOBODY)

        def seen() -> tuple[list[str], bytes, bytes]:
            with Tree(found.lower, mend=True) as tree:
                walked = [name for name, _ in tree.walk()]
            closed = read_plainly(found.lower)
            return walked, read(found.lower, ["dark", "secret"], 10), closed

        assert in_child(seen, "nobody") == (["dark", "below", "secret"], b"s", b"")
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (dark, dark / "below")]
        assert (modes, stat.S_IMODE((dark / "secret").stat().st_mode)) == ([0, 0o100], 0)
        in_child(lambda: remove(dark), "nobody")
        assert not dark.exists()


def read_plainly(folder: Path) -> bytes:
    """Without opening anything up."""
    with Tree(folder) as tree:
        return b"reached" if tree.down("dark") else b""


def test_contents_are_read_up_to_a_size_and_kept_up_to_another(made: Path) -> None:
    for name, size in (("a", 0), ("b", 3), ("c", 5), ("d", 4), ("huge", HASHED + 1)):
        with (made / name).open("wb") as file:
            file.truncate(size)
    kept: list[bytes] = []

    def store(data: bytes) -> str:
        kept.append(data)
        return f"kept-{len(data)}"

    contents = Contents(Keep(store, file_bytes=4, all_bytes=6))
    with Tree(made) as tree:
        told = {
            name: contents.keep(tree, name, (made / name).stat().st_size) for name in tree.names()
        }
    assert told["a"] == (EMPTY, "kept-0")
    assert {name: one[1] for name, one in told.items()} == {
        "a": "kept-0", "b": "kept-3", "c": "", "d": "", "huge": ""
    }  # fmt: skip
    assert [len(data) for data in kept] == [0, 3]
    assert (len(told["c"][0]), told["huge"]) == (64, ("", ""))


def test_names_that_are_no_text_can_be_told(made: Path) -> None:
    (made / "a\udcffb").touch()
    assert [shown(name) for name in names(made)] == ["a\\xffb"]


def test_removing_what_is_not_there_is_done_already(tmp_path: Path) -> None:
    remove(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
