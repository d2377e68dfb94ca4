"""The root of boxes that run on the host's own programs: folders, links, an `/etc` without secrets.

Made once per sandbox; the host's programs are mounted into it. Rules:
1. Of the host's `/etc` it has what programs need to be loaded, to check certificates and to know
   time zones and names (`FILES`, `FOLDERS`), and of that what everybody may read.
2. Users, groups, hosts and the machine's name are made up.
3. The box's user owns its home and the folders for temporary files; they are empty.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
from glob import glob
from pathlib import Path

PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
FILES = (
    *("ld.so.cache", "ld.so.conf", "localtime", "timezone", "mime.types", "os-release"),
    *("debian_version", "services", "protocols", "gai.conf", "magic", "magic.mime", "inputrc"),
    *("bash.bashrc", "profile", "ca-certificates.conf", "shells", "locale.conf"),
)
FOLDERS = (
    *("ld.so.conf.d", "alternatives", "ssl", "ca-certificates", "pki/ca-trust", "pki/tls/certs"),
    *("crypto-policies", "python3*", "perl", "java-*", "fonts", "terminfo", "R"),
)
MADE_UP = {
    "hosts": "127.0.0.1 localhost box\n::1 localhost\n",
    "hostname": "box\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
}
NOBODY = 65534


def make(folder: Path, home: str, owner: int) -> list[tuple[str, str]]:
    """Make it in `folder`, which is not there yet. home: a path in the box. owner: the host's user
    that a box runs as. Returns what of the host has to be mounted into it: (source, path)."""
    folder.mkdir()
    folder.chmod(0o755)
    shown = []
    for name in PROGRAMS:
        source = Path("/", name)
        if source.is_symlink():
            (folder / name).symlink_to(os.path.relpath(source.resolve(), "/"))
        elif source.is_dir():
            shown.append((str(source), str(source)))
            _folder(folder / name)
    etc = folder / "etc"
    _folder(etc)
    for name in FILES:
        _copy(f"/etc/{name}", str(etc / name))
    for pattern in FOLDERS:
        for source in map(Path, glob(f"/etc/{pattern}")):
            target = etc / source.relative_to("/etc")
            _folder(target.parent)
            with contextlib.suppress(shutil.Error, OSError):
                shutil.copytree(source, target, symlinks=True, ignore=_private, copy_function=_copy)
    for name, text in {**MADE_UP, **_users(home)}.items():
        (etc / name).write_text(text)
        (etc / name).chmod(0o644)
    for name in ("proc", "dev", "opt", "srv", "var", "var/lib", "var/cache"):
        _folder(folder / name)
    owned = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755}
    for path, mode in {home: 0o700, **owned}.items():
        own = folder / path[1:]
        if own == folder:  # a home that is the root
            continue
        for parent in reversed(own.parents):
            if parent.is_relative_to(folder):
                _folder(parent)
        with contextlib.suppress(FileExistsError):
            own.mkdir()
        own.chmod(mode)
        if owner != os.getuid():
            os.chown(own, owner, owner)
    return shown


def _folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)


def _copy(source: str, target: str, **_: object) -> None:
    """A file, or a link as such, when everybody may read it."""
    with contextlib.suppress(OSError):
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        elif stat.S_ISREG(status.st_mode) and status.st_mode & 0o004:
            shutil.copyfile(source, target)
            os.chmod(target, status.st_mode & 0o755)


def _private(folder: str, names: list[str]) -> list[str]:
    """What of a folder not everybody may look into."""
    found = []
    for name in names:
        status = os.lstat(os.path.join(folder, name))
        if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o005 != 0o005:
            found.append(name)
    return found


def _users(home: str) -> dict[str, str]:
    """`passwd` and `group` with the user that the box finds itself to be, and nobody."""
    uid, gid = os.getuid(), os.getgid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "user"
    people = {uid: f"{name}:x:{uid}:{gid}::{home}:/bin/sh\n"}
    people.setdefault(NOBODY, f"nobody:x:{NOBODY}:{NOBODY}::/nonexistent:/usr/sbin/nologin\n")
    groups = {gid: f"{name}:x:{gid}:\n"}
    groups.setdefault(NOBODY, f"nogroup:x:{NOBODY}:\n")
    return {"passwd": "".join(people.values()), "group": "".join(groups.values())}
