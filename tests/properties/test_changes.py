"""What is told of a layer and brought back from it, over whatever is done in a real overlay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlay_mounts import NEEDS_ROOT, View, layers, view
from proofrig.sandboxes.changes import Before, compare, scan
from proofrig.sandboxes.collecting import bring_back

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason=NEEDS_ROOT)

PATH = st.sampled_from(["a", "b", "d\udcff", "a/b", "a/c", "b/a", "b/c", "a/b/a", "a/b/c", "b/c/a"])
CONTENT = st.sampled_from(["", "x", "y"])
MAKE = st.one_of(
    st.tuples(st.just("file"), PATH, CONTENT),
    st.tuples(st.just("folder"), PATH, st.just("")),
    st.tuples(st.just("link"), PATH, st.sampled_from(["a", "../..", "/etc/passwd", "nowhere"])),
)
EDIT = st.one_of(
    MAKE,
    st.tuples(st.just("delete"), PATH, st.just("")),
    st.tuples(st.just("renew"), PATH, st.just("")),  # a folder deleted and made again: opaque
    st.tuples(st.just("rename"), PATH, PATH),
    st.tuples(st.just("append"), PATH, CONTENT),
    st.tuples(st.just("mode"), PATH, st.sampled_from(["700", "755", "640"])),
    st.tuples(st.just("pipe"), PATH, st.just("")),
    st.tuples(st.just("hard"), PATH, PATH),
)


def do(folder: Path, edits: list[tuple[str, str, str]]) -> None:
    """Do what can be done of it, and never outside the folder."""
    for what, name, value in edits:
        path = folder / name
        if any(part.is_symlink() for part in list(path.parents)[: name.count("/")]):
            continue
        try:
            if what in {"file", "link", "folder"}:
                path.parent.mkdir(parents=True, exist_ok=True)
            one(folder, path, what, value)
        except OSError:
            continue


def one(folder: Path, path: Path, what: str, value: str) -> None:
    if what in {"file", "append"} and not path.is_symlink() and not path.is_fifo():
        with path.open("a" if what == "append" else "w") as file:
            file.write(value)
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(value)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "mode" and not path.is_symlink():
        path.chmod(int(value, 8))
    elif what in {"delete", "renew"}:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            if what == "renew":
                path.mkdir()
        else:
            path.unlink()
    elif what in {"rename", "hard"} and not any(
        part.is_symlink() for part in [*list((folder / value).parents)[: value.count("/")]]
    ):
        if what == "rename":
            shutil.move(path, folder / value)
        else:
            os.link(path, folder / value, follow_symlinks=False)


def wanted(before: View, after: View) -> set[tuple[str, str, str]]:
    """The changes between two views: path, change, kind."""
    found = {(path, "added", after[path][0]) for path in after.keys() - before.keys()}
    found |= {(path, "deleted", before[path][0]) for path in before.keys() - after.keys()}
    both = before.keys() & after.keys()
    return found | {
        (path, "changed", after[path][0]) for path in both if before[path] != after[path]
    }


def told(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@given(
    st.lists(MAKE, min_size=3, max_size=12),
    st.lists(EDIT, min_size=1, max_size=8),
    st.sampled_from(["root", "nobody"]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_layer_tells_what_was_done_and_the_world_becomes_what_was_seen(
    made: list[tuple[str, str, str]], edits: list[tuple[str, str, str]], who: str
) -> None:
    with layers() as found:
        do(found.lower, made)
        before = view(found.lower)
        remembered = Before(found.lower)
        after = found.edited(lambda folder: do(folder, edits), who)
        mine = who == "nobody"

        changes = scan(found.upper, found.lower, "/at", userxattr=mine)
        changed = [(one.path, one.change, one.kind) for one in changes.entries]
        expected = {(f"/at/{told(path)}", *rest) for path, *rest in wanted(before, after)}
        assert (changes.complete, changes.error) == (True, "")
        assert set(changed) == expected
        assert len(changed) == len(expected)

        assert bring_back(found.upper, found.lower, userxattr=mine) == ""
        plain = {path: one for path, one in after.items() if one[0] != "special"}
        assert view(found.lower) == plain

        again = compare(remembered, found.lower, "/at")
        without = wanted(before, plain)
        assert {(one.path, one.change, one.kind) for one in again.entries} == {
            (f"/at/{told(path)}", *rest) for path, *rest in without
        }
