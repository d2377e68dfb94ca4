"""Small Debian packages, a repository of them, and wheels: what images are built from, offline."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

needs_debian = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-get", "dpkg-deb"))), reason="no Debian: apt-get is not there"
)
needs_squashfs = pytest.mark.skipif(
    shutil.which("mksquashfs") is None,
    reason="mksquashfs is not installed (Debian: apt-get install squashfs-tools)",
)


def deb(folder: Path, name: str, files: Mapping[str, tuple[str, int]], **fields: str) -> Path:
    """A package `<name>.deb` in `folder`. files: path -> (text, mode); fields: of its control file,
    with `_` for `-`."""
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    said = {"Package": name, "Version": "1:1.0", "Architecture": "all", "Maintainer": "nobody"}
    said |= {"Description": name} | {key.replace("_", "-"): text for key, text in fields.items()}
    control = "".join(f"{key}: {text}\n" for key, text in said.items())
    (tree / "DEBIAN" / "control").write_text(control)
    for path, (text, mode) in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(mode)
    made = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, capture_output=True
    )
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    with (folder / "Packages").open("a") as index:
        size = made.stat().st_size
        index.write(f"{control}Filename: ./{made.name}\nSize: {size}\nSHA256: {digest}\n\n")
    return made


def sources(folder: Path, repository: Path) -> Path:
    """A configuration of apt (for `APT_CONFIG`) that knows only the packages in `repository`."""
    (folder / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    path = folder / "apt.conf"
    path.write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
    )
    return path


def wheel(folder: Path, name: str, modules: Mapping[str, str], script: str = "") -> Path:
    """A wheel of `name` 1.0. modules: path -> text; script: `command = module:function`."""
    info = f"{name}-1.0.dist-info"
    files = dict(modules) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script}\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return path
