"""The root of boxes that run on the host's own programs: folders, links, an `/etc` without secrets.

Made once per process; the host's programs are mounted into it. Rules:
1. Of the host's `/etc` it has what programs need to be loaded, to check certificates and to know
   time zones and names (`FILES`, `FOLDERS`), and of that what everybody may read. Large folders of
   nothing else are mounted, too; the rest is copied.
2. Users, groups, hosts and the machine's name are made up.
3. The box's user owns its home and the folders for temporary files; they are empty.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import threading
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


MANY = 64  # a folder of so many is mounted
_made: dict[tuple[Path, str, int], tuple[Path, list[tuple[str, str]]]] = {}
_making = threading.Lock()


def made(base: Path, home: str, owner: int) -> tuple[Path, list[tuple[str, str]]]:
    """The one of this process, below `base`, and what `make` returned. Made when it is not there;
    blocks."""
    with _making:
        folder, shown = _made.get((base, home, owner), (base / f"host-{len(_made)}", []))
        if not folder.exists():
            shown = make(folder, home, owner)
            _made[base, home, owner] = folder, shown
        return folder, shown


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
            shown += _lay(source, target)
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


def _lay(source: Path, target: Path) -> list[tuple[str, str]]:
    """Have what is public of a folder at `target`; what of it has to be mounted."""
    if source.is_symlink() or not source.is_dir():
        _copy(str(source), str(target))
        return []
    shown = []
    with contextlib.suppress(OSError):
        _folder(target)
        if _public(str(source)) >= MANY:
            return [(str(source), str(source))]
        for name in sorted(os.listdir(source)):
            status = (source / name).lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o005 == 0o005:
                shown += _lay(source / name, target / name)
    return shown


def _public(folder: str) -> int:
    """How many files and links a folder has, however deep; 0 when not everybody may read them all,
    or it has anything else."""
    found = 0
    for below, folders, files in os.walk(folder):
        for name in folders:
            if os.lstat(f"{below}/{name}").st_mode & 0o005 != 0o005:
                return 0
        for name in files:
            mode = os.lstat(f"{below}/{name}").st_mode
            if not stat.S_ISLNK(mode) and not (stat.S_ISREG(mode) and mode & 0o004):
                return 0
        found += len(files)
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
