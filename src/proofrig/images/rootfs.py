"""A root file system out of Debian packages, without running any of their scripts.

Rules:
1. The few things that the essential packages' scripts would do are done here, by hand. What other
   packages' scripts would do (users, alternatives, caches) is not done.
2. Everybody may read everything, and nothing is set-uid: a box runs as an unprivileged user and
   gains no rights. No secrets are in an image.
3. Manuals and translations are left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from proofrig.images.tools import pipe, run

_MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr
_LEFT_OUT = ("doc", "man", "info", "locale", "lintian", "bash-completion")
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_WRITTEN = {
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/hostname": "box\n",
    "etc/resolv.conf": "",
}
_COPIED = {
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
    "etc/profile": "usr/share/base-files/profile",
}
_ADDED = {  # the user of an agent in a vm
    "etc/passwd": "agent:x:1000:1000:agent:/tmp:/bin/sh\n",
    "etc/group": "agent:x:1000:\n",
}
_LINKED = {"usr/bin/awk": "mawk", "usr/lib/ssl/cert.pem": f"/{_BUNDLE}"}


def unpack(packages: Sequence[Path], root: Path) -> None:
    """Unpack .deb files below the empty folder `root`, and finish it. Raises Unavailable."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        take(package, root, *(f"--exclude=./usr/share/{name}" for name in _LEFT_OUT))
    for path in ("etc/ssl/certs", "usr/lib/ssl", "var/lib/dpkg"):
        (root / path).mkdir(parents=True, exist_ok=True)
    for path, text in _texts(packages, root).items():
        (root / path).write_text(text)
    for path, target in _LINKED.items():
        if not os.path.lexists(root / path):
            (root / path).symlink_to(target)
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()  # pip would refuse to install; in a box there is nothing to protect
    run(["ldconfig", "-r", root], "list the libraries of the image")


def take(package: Path, folder: Path, *options: str) -> None:
    """Unpack one .deb file into the folder; options are those of tar. Raises Unavailable."""
    extract = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", *options]
    pipe(["dpkg-deb", "--fsys-tarfile", package], extract, f"unpack {package.name}", cwd=folder)


def open_up(root: Path) -> None:
    """Let everybody read what lies below `root`, and take set-uid and set-gid bits away."""
    for folder, folders, files in os.walk(root):
        for name in (".", *folders, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                continue
            runs = 0o111 if mode & 0o111 else 0
            wanted = (stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID)) | 0o444 | runs
            if wanted != stat.S_IMODE(mode):
                os.chmod(path, wanted)


def _texts(packages: Sequence[Path], root: Path) -> dict[str, str]:
    """The files that packages' scripts would write: path -> text."""
    texts = dict(_WRITTEN)
    for path, source in _COPIED.items():
        if (root / source).is_file():
            texts[path] = (root / source).read_text() + _ADDED.get(path, "")
    authorities = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    texts[_BUNDLE] = "".join(path.read_text() for path in authorities)
    texts["var/lib/dpkg/status"] = "".join(map(_paragraph, packages))
    return texts


def _paragraph(package: Path) -> str:
    """What the package manager in the image knows of a package."""
    control = run(["dpkg-deb", "--field", package], f"read {package.name}")
    return control.rstrip("\n") + "\nStatus: install ok installed\n\n"
