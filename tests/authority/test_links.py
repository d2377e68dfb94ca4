"""Where paths really lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proofrig.authority.arguments import Unread
from proofrig.authority.links import is_real, real_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files and links of every kind."""
    root = tmp_path.resolve()
    (root / "tests" / "deep").mkdir(parents=True)
    (root / "src").mkdir()
    (root / "tests" / "x.py").write_text("")
    (root / "to_file").symlink_to("tests/x.py")
    (root / "to_dir").symlink_to(root / "tests")
    (root / "chain").symlink_to("to_dir")
    (root / "src" / "up").symlink_to("../tests/deep")
    (root / "dangling").symlink_to("tests/new.py")
    (root / "circle").symlink_to("circle")
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    return root


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("tests/x.py", "tests/x.py"),
        ("to_file", "tests/x.py"),
        ("to_dir/x.py", "tests/x.py"),
        ("chain/x.py", "tests/x.py"),
        ("chain/new/file.py", "tests/new/file.py"),  # not there yet
        ("dangling", "tests/new.py"),
        ("src/up/../x.py", "tests/x.py"),  # `..` of where the link leads
        ("src/../nothing/../tests", "tests"),
        ("tests/x.py/../y", "tests/y"),  # below a file
        ("nothing/../src", "src"),
    ],
)
def test_links_are_followed(root: Path, path: str, leads_to: str) -> None:
    assert real_path(path, start=str(root)) == f"{root}/{leads_to}"
    assert real_path(f"{root}/{path}") == f"{root}/{leads_to}"


@pytest.mark.parametrize("path", ["circle", "one/x", "a" * 300, "tests/" + "b/" * 10 + "c" * 256])
def test_what_cannot_be_followed_cannot_be_read(root: Path, path: str) -> None:
    if path.startswith("tests"):  # a name too long in a folder that is not there is never met
        assert real_path(path, start=str(root)).startswith(str(root))
        return
    with pytest.raises(Unread):
        real_path(path, start=str(root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look anywhere")
def test_a_folder_that_may_not_be_looked_into(root: Path) -> None:
    (root / "tests").chmod(0)
    try:
        with pytest.raises(Unread):
            real_path("tests/x.py", start=str(root))
    finally:
        (root / "tests").chmod(0o755)


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/cwd/x",
        "/proc/thread-self/cwd",
        "/proc/{own}/root/etc/passwd",
        "/proc/999999999/root/etc/passwd",  # another namespace's
        "//proc//self/./cwd",
        "/PROC/self/cwd",
        "/dev/fd/3",
        "/dev/stdin",
        "/etc/../proc/self/environ",
    ],
)
def test_what_leads_where_its_reader_is_cannot_be_read(path: str) -> None:
    with pytest.raises(Unread):
        real_path(path.format(own=os.getpid()))


def test_a_link_to_what_depends_on_its_reader(root: Path) -> None:
    (root / "here").symlink_to("/proc/self/cwd")
    with pytest.raises(Unread):
        real_path("here/x", start=str(root))


def test_a_quick_look(root: Path) -> None:
    assert is_real(f"{root}/tests/x.py")
    for path in ("to_file", "to_dir/x.py", "nothing", "circle", "a\0b", "tests//x.py"):
        assert not is_real(f"{root}/{path}")
