"""What is told of a layer and of a plain folder; `tests/properties` does it over random edits."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from overlay_mounts import NEEDS_ROOT, WHO, in_child, layers
from proofrig.sandboxes.changes import ENTRIES, Before, compare, merge, scan
from proofrig.sandboxes.sandbox import Change, Changes, Keep, Package
from proofrig.sandboxes.trees import HASHED

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason=NEEDS_ROOT)


def told(changes: Changes) -> list[str]:
    return [f"{one.change} {one.kind} {one.path}" for one in changes.entries]


def edit(folder: Path) -> None:
    (folder / "new").mkdir()
    (folder / "new/file").write_text("hello")
    (folder / "link").symlink_to("/etc/shadow")
    (folder / "gone").unlink()
    (folder / "old/inner/deep").unlink()
    (folder / "old/inner").rmdir()
    (folder / "becomes").unlink()
    (folder / "becomes").mkdir()
    (folder / "same").write_text("same")
    (folder / "touched").touch()
    (folder / "mode").chmod(0o600)
    os.mkfifo(folder / "pipe")
    os.link(folder / "new/file", folder / "twin")


@needs_root
@pytest.mark.parametrize("who", WHO)
def test_a_layer_tells_what_was_done(who: str) -> None:
    with layers() as found:
        for name in ("gone", "becomes", "same", "touched", "mode", "old/inner/deep", "left"):
            (found.lower / name).parent.mkdir(parents=True, exist_ok=True)
            (found.lower / name).write_text(name)
        found.edited(edit, who)
        kept: dict[str, bytes] = {}
        keep = Keep(lambda data: kept.setdefault("copy", data).hex())
        changes = in_child(
            lambda: scan(found.upper, found.lower, "/w", keep=keep, userxattr=who == "nobody"), who
        )
    assert told(changes) == [
        "changed folder /w/becomes",
        "deleted file /w/gone",
        "added link /w/link",
        "changed file /w/mode",
        "added folder /w/new",
        "added file /w/new/file",
        "deleted folder /w/old/inner",
        "deleted file /w/old/inner/deep",
        "added special /w/pipe",
        "added file /w/twin",
    ]
    by_path = {one.path: one for one in changes.entries}
    digest = sha256(b"hello").hexdigest()
    assert (by_path["/w/new/file"].size, by_path["/w/new/file"].digest) == (5, digest)
    assert by_path["/w/new/file"].kept
    assert by_path["/w/link"].target == "/etc/shadow"
    assert (changes.complete, changes.error, changes.within) == (True, "", "")
    assert msgspec.json.decode(msgspec.json.encode(changes), type=Changes) == changes


@needs_root
@pytest.mark.parametrize("who", WHO)
def test_a_trial_cannot_pretend_that_a_folder_hides_what_lies_below(who: str) -> None:
    other = "user" if who == "root" else "trusted"

    def pretend(folder: Path) -> None:
        try:
            os.setxattr(folder / "d", f"{other}.overlay.opaque", b"y")
            os.setxattr(folder / "d", "user.overlay.opaque", b"y")
        except PermissionError:
            assert who == "nobody"

    with layers() as found:
        (found.lower / "d").mkdir()
        (found.lower / "d/stays").touch()
        found.edited(pretend, who)
        assert told(scan(found.upper, found.lower, "/", userxattr=who == "nobody")) == []


@needs_root
def test_without_root_folders_that_nobody_may_enter_are_told() -> None:
    def close(folder: Path) -> None:
        (folder / "dark").mkdir()
        (folder / "dark/secret").write_text("s")
        (folder / "dark/secret").chmod(0)
        in_the_dark = folder / "dark"
        in_the_dark.chmod(0o300)

    with layers() as found:
        found.edited(close, "nobody")
        changes = in_child(lambda: scan(found.upper, found.lower, "/"), "nobody")
        assert told(changes) == ["added folder /dark", "added file /dark/secret"]
        assert changes.entries[1].digest == sha256(b"s").hexdigest()
        assert stat.S_IMODE((found.upper / "dark").stat().st_mode) == 0o300


def test_a_sparse_file_is_told_by_its_size(tmp_path: Path) -> None:
    before = Before(tmp_path)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    [one] = compare(before, tmp_path, "/w").entries
    assert (one.size, one.digest) == (1 << 40, "")


def test_a_file_that_is_too_large_to_be_read_is_known_by_its_inode(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(HASHED + 1)
    before = Before(tmp_path)
    assert told(compare(before, tmp_path, "/w")) == []
    with (tmp_path / "large").open("r+b") as file:
        file.write(b"x")
    assert told(compare(Before(tmp_path), tmp_path, "/w")) == []
    assert told(compare(before, tmp_path, "/w")) == ["changed file /w/large"]


def test_there_is_an_end_and_the_first_are_told(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    at = os.open(upper, os.O_RDONLY)
    for number in range(ENTRIES + 1):
        if number % 60_000:  # links to a file have an end, too
            os.link(f"{number // 60_000 * 60_000:06}", f"{number:06}", src_dir_fd=at, dst_dir_fd=at)
        else:
            (upper / f"{number:06}").touch()
    changes = scan(upper, None, "/")
    assert (len(changes.entries), changes.complete) == (ENTRIES, False)
    assert (changes.entries[0].path, changes.entries[-1].path) == ("/000000", f"/{ENTRIES - 1:06}")
    os.close(at)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    changes = scan(tmp_path / "missing", None, "/w")
    assert changes.error == "the files of /w cannot be read: No such file or directory"
    assert not changes.complete
    before = Before(tmp_path)
    assert compare(before, tmp_path / "missing", "/w").error


def test_layers_are_told_as_one() -> None:
    one = Changes((Change("/w/b", "added"),), (Package("pip", "b", "1", 1),))
    other = Changes(
        (Change("/etc/x", "added"), Change("/w/a", "added")),
        (Package("npm", "a", "1", 1),),
        complete=False,
        error="why",
    )
    both = merge([one, other])
    assert [change.path for change in both.entries] == ["/etc/x", "/w/a", "/w/b"]
    assert [package.manager for package in both.packages] == ["npm", "pip"]
    assert (both.complete, both.error, both.within) == (False, "why", "")
    assert merge([Changes(within="/w")]).within == "/w"
