"""A root file system: what of packages is in it, and what their scripts would have done."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from image_parts import deb, needs_debian
from proofrig.images.rootfs import open_up, take, unpack
from proofrig.sandboxes.sandbox import Unavailable

pytestmark = needs_debian

FILES = {
    "bin/tool": ("#!/bin/sh\n", 0o4711),
    "lib/tool/part": ("part", 0o600),
    "etc/tool.conf": ("x", 0o640),
    "usr/share/doc/tool/README": ("long", 0o644),
    "usr/lib/python3.11/EXTERNALLY-MANAGED": ("no", 0o644),
    "usr/share/ca-certificates/b.crt": ("B\n", 0o644),
    "usr/share/ca-certificates/org/a.crt": ("A\n", 0o644),
    "usr/share/base-passwd/passwd.master": ("root:*:0:0::/srv:/bin/sh\n", 0o644),
    "usr/share/base-passwd/group.master": ("root:*:0:\n", 0o644),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One package, unpacked."""
    package = deb(tmp_path, "tool", FILES, Installed_Size="7")
    unpack([package], tmp_path / "root")
    return tmp_path / "root"


def test_files_lie_in_usr_whatever_a_package_says(root: Path) -> None:
    assert (root / "bin").is_symlink() and (root / "lib").is_symlink()
    assert (root / "usr/bin/tool").read_text() == "#!/bin/sh\n"
    assert (root / "usr/lib/tool/part").read_text() == "part"
    assert not (root / "usr/share/doc").exists()


def test_what_scripts_would_have_done_is_done(root: Path) -> None:
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text() == "B\nA\n"
    assert (root / "usr/lib/ssl/cert.pem").readlink() == Path("/etc/ssl/certs/ca-certificates.crt")
    users = (root / "etc/passwd").read_text().splitlines()
    assert [line.split(":")[:3] for line in users] == [["root", "*", "0"], ["agent", "x", "1000"]]
    assert "localhost" in (root / "etc/hosts").read_text()
    assert list((root / "usr/lib/python3.11").iterdir()) == []
    assert (root / "etc/ld.so.cache").stat().st_size > 0


def test_the_package_manager_knows_what_is_there(root: Path) -> None:
    status = (root / "var/lib/dpkg/status").read_text()
    assert status.startswith("Package: tool\nVersion: 1:1.0\n")
    assert status.endswith("\nStatus: install ok installed\n\n")


def test_everybody_may_read_and_nobody_gains(root: Path) -> None:
    (root / "secret").mkdir(0o700)
    (root / "link").symlink_to("nowhere")
    open_up(root)
    modes = {
        path: stat.S_IMODE((root / path).stat().st_mode)
        for path in ("usr/bin/tool", "usr/lib/tool/part", "etc/tool.conf", "secret", ".")
    }
    assert modes == {
        "usr/bin/tool": 0o755,
        "usr/lib/tool/part": 0o644,
        "etc/tool.conf": 0o644,
        "secret": 0o755,
        ".": 0o755,
    }


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.deb"
    broken.write_bytes(b"!<arch>\nnothing")
    with pytest.raises(Unavailable, match=r"expected to unpack broken\.deb; dpkg-deb ended with"):
        take(broken, tmp_path)
