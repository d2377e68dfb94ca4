"""Packages that a trial installed: with a real pip, and as npm and dpkg leave them."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from proofrig.sandboxes.changes import Before, compare, scan
from proofrig.sandboxes.packages import packages_in
from proofrig.sandboxes.sandbox import Change, Package

BODY = b"x = 1\n" * 100


def wheel(folder: Path) -> Path:
    """A wheel of a module of 600 bytes and a console script."""
    info = "tiny_thing-1.2.dist-info"
    files = {
        "tiny_thing.py": BODY,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.2\n\nName: no\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": b"[console_scripts]\ntiny = tiny_thing:x\n",
    }
    rows = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    made = folder / "tiny_thing-1.2-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made


@pytest.mark.parametrize("option", ["--target", "--prefix"])
def test_what_pip_installed_is_found(tmp_path: Path, option: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = Before(home)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet",
         "--disable-pip-version-check", "--root-user-action=ignore", "--no-compile",
         option, str(home / "lib"), str(wheel(tmp_path))],
        check=True,
    )  # fmt: skip
    # With --target scripts lie elsewhere than pip's own record says.
    files = [path for path in home.rglob("*") if path.is_file()]
    written = sum(
        path.stat().st_size for path in files if option == "--prefix" or path.parent.name != "bin"
    )
    for changes in (scan(home, None, "/home/agent"), compare(before, home, "/home/agent")):
        assert changes.packages == (Package("pip", "tiny-thing", "1.2", written),)
        assert written > len(BODY)
    assert scan(home, home, "/home/agent").packages == ()
    assert compare(Before(home), home, "/home/agent").packages == ()


def found(files: dict[str, str], before: dict[str, str] | None = None) -> list[Package]:
    """The packages among files; those that were there before are changed."""
    old = before or {}
    entries = [
        Change(path, "changed" if path in old else "added", size=len(text))
        for path, text in files.items()
        if old.get(path) != text
    ]
    return list(
        packages_in(
            entries,
            lambda path, most: files.get(path, "").encode()[:most],
            lambda path, most: old.get(path, "").encode()[:most],
        )
    )


def described(name: str, version: str) -> str:
    return json.dumps({"name": name, "version": version, "deep": [[[{}]]]})


def test_what_npm_installed_is_found_each_with_its_own_files() -> None:
    files = {
        "/w/package.json": described("mine", "0"),
        "/w/node_modules/.package-lock.json": "{}",
        "/w/node_modules/left/package.json": described("left", "1.0.0"),
        "/w/node_modules/left/lib/package.json": described("not me", "9"),
        "/w/node_modules/left/node_modules/in/package.json": described("in", "2.0.0"),
        "/w/node_modules/left/node_modules/in/index.js": "12345",
        "/w/node_modules/@scope/it/package.json": described("@scope/it", "3.0.0"),
        "/w/node_modules/broken/package.json": "[" * 5000,
        "/w/node_modules/nameless/package.json": "{}",
    }
    size = {path: len(text) for path, text in files.items()}
    left = "/w/node_modules/left"
    inner = f"{left}/node_modules/in"
    assert found(files) == [
        Package("npm", "@scope/it", "3.0.0", size["/w/node_modules/@scope/it/package.json"]),
        Package("npm", "in", "2.0.0", size[f"{inner}/package.json"] + 5),
        Package(
            "npm", "left", "1.0.0", size[f"{left}/package.json"] + size[f"{left}/lib/package.json"]
        ),
    ]


def paragraph(name: str, version: str, status: str = "install ok installed") -> str:
    return (
        f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n"
        f"Description: of\n Package: not-me\n\n"
    )


def test_what_apt_installed_is_what_dpkg_did_not_know_before() -> None:
    status = "/var/lib/dpkg/status"
    before = {status: paragraph("base", "1") + paragraph("old", "1")}
    files = {
        status: paragraph("base", "1")
        + paragraph("old", "2")
        + paragraph("tool", "3-1")
        + paragraph("half", "1", "install ok half-installed")
        + paragraph("gone", "1", "deinstall ok config-files")
        + paragraph("../../../etc/passwd", "1"),
        "/var/lib/dpkg/info/tool.list": "/.\n/bin\n/bin/tool\n/usr/share/tool\n/etc/hostname\n",
        "/var/lib/dpkg/info/old:amd64.list": "/usr/lib/old.so\n",
        "/usr/bin/tool": "1234567",
        "/usr/share/tool": "123",
        "/usr/lib/old.so": "12",
    }
    assert found(files, before) == [
        Package("apt", "old", "2", 2),
        Package("apt", "tool", "3-1", 10),
    ]


INFO = "/s/a-1.dist-info"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({f"{INFO}/METADATA": "Name: a\nVersion: 1\n"}, [("a", "1", 19)]),
        ({f"{INFO}/METADATA": "Version: 1\n"}, []),
        ({f"{INFO}/METADATA": f"Name: {'a' * 999}\n"}, [("a" * 200, "", 1006)]),
        (
            {  # what it claims to have installed counts only as far as it was written, and once
                f"{INFO}/METADATA": "Name: a\n",
                f"{INFO}/RECORD": "x.py,,999999\nx.py,,1\n./x.py,,\n../../etc/passwd,,7\nz,,3\n",
                "/s/x.py": "123",
            },
            [("a", "", 11)],
        ),
        ({f"{INFO}/METADATA": "Name: a\n", f"{INFO}/RECORD": '"' + "x" * 200_000}, [("a", "", 8)]),
        ({"/s/a.dist-info": "Name: a\n"}, []),
    ],
    ids=["plain", "no name", "long", "claims", "broken", "file"],
)  # fmt: skip
def test_what_a_package_says_of_itself(
    files: dict[str, str], wanted: list[tuple[str, str, int]]
) -> None:
    assert [(one.name, one.version, one.bytes) for one in found(files)] == wanted
