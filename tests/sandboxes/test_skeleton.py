"""The root of boxes that run on the host's programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from proofrig.sandboxes import skeleton


def modes(root: Path, *paths: str) -> list[int]:
    return [(root / path).stat().st_mode & 0o7777 for path in paths]


@pytest.mark.parametrize("home", ["/home/somebody", "/tmp/deep/er", "/srv/home", "/tmp"])
def test_folders_are_there_and_empty(tmp_path: Path, home: str) -> None:
    root = tmp_path / "root"
    shown = skeleton.make(root, home, os.getuid())
    assert ("/usr", "/usr") in shown
    assert modes(root, "tmp", "var/tmp", "run", "var") == [0o1777, 0o1777, 0o755, 0o755]
    assert (root / home[1:]).is_dir()
    assert list((root / "run").iterdir()) == []
    if home != "/tmp":
        assert modes(root, home[1:]) == [0o700]
        assert list((root / home[1:]).iterdir()) == []


def test_a_home_that_is_the_root_changes_nothing(tmp_path: Path) -> None:
    skeleton.make(tmp_path / "root", "/", os.getuid())
    assert modes(tmp_path, "root") == [0o755]


def test_etc_has_no_secrets(tmp_path: Path) -> None:
    root = tmp_path / "root"
    skeleton.make(root, "/home/x", os.getuid())
    etc = root / "etc"
    for name in (
        "shadow",
        "gshadow",
        "ssh",
        "ssl/private",
        "environment",
        "pip.conf",
        "resolv.conf",
    ):
        assert not os.path.lexists(etc / name)
    assert (etc / "hostname").read_text() == "box\n"
    line = next(row for row in (etc / "passwd").read_text().splitlines() if ":/home/x:" in row)
    assert line.split(":")[2] == str(os.getuid())
    unread = [p for p in etc.rglob("*") if p.is_file() and not p.stat().st_mode & 0o004]
    assert unread == []


def test_it_is_made_once_for_a_home_and_an_owner(tmp_path: Path) -> None:
    first, shown = skeleton.made(tmp_path, "/home/x", os.getuid())
    (first / "etc" / "mine").write_text("")
    assert skeleton.made(tmp_path, "/home/x", os.getuid()) == (first, shown)
    other, _ = skeleton.made(tmp_path, "/home/y", os.getuid())
    assert other != first and not (other / "etc" / "mine").exists()
    shutil.rmtree(first)
    again, _ = skeleton.made(tmp_path, "/home/x", os.getuid())
    assert (again / "etc" / "passwd").exists() and not (again / "etc" / "mine").exists()


@pytest.mark.parametrize("secret", [False, True], ids=["public", "with a secret"])
def test_large_folders_are_mounted_where_everybody_may_read_all(
    tmp_path: Path, secret: bool
) -> None:
    source, target = tmp_path / "etc", tmp_path / "root"
    (source / "certs").mkdir(parents=True)
    for number in range(skeleton.MANY):
        (source / "certs" / f"{number}.pem").write_text("x")
    (source / "certs" / "7.pem").chmod(0o600 if secret else 0o644)
    (source / "conf").write_text("conf")
    (source / "link").symlink_to("conf")
    (source / "private").mkdir(mode=0o710)
    (source / "private" / "key").write_text("key")
    shown = skeleton._lay(source, target)
    assert shown == ([] if secret else [(str(source / "certs"), str(source / "certs"))])
    assert sorted(os.listdir(target)) == ["certs", "conf", "link"]
    assert os.readlink(target / "link") == "conf"
    assert len(os.listdir(target / "certs")) == (skeleton.MANY - 1 if secret else 0)
