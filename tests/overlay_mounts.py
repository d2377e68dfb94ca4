"""Overlays for tests: mounted in a child of its own mount namespace, and gone with the child."""

from __future__ import annotations

import ctypes
import os
import pickle
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofrig.sandboxes.trees import remove

NOBODY = 65534
NEW_USER, NEW_MOUNTS, DUMPABLE = 0x10000000, 0x00020000, 4
WHO = ["root", "nobody"]  # who mounts the overlay; the second as root of its own user namespace
OPTIONS = {
    "root": "redirect_dir=nofollow,metacopy=off,index=off",
    "nobody": "userxattr,redirect_dir=nofollow,metacopy=off,index=off",
}
NEEDS_ROOT = "mounts overlays, and becomes another user: needs root"

View = dict[str, tuple[str, int, str]]  # path -> kind, mode, content


class Layers:
    """A lower folder, and an upper one with all that an overlay needs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lower, self.upper, self.merged = home / "lower", home / "upper", home / "merged"
        for name in ("lower", "upper", "work", "merged"):
            (home / name).mkdir()

    def edited(self, edit: Callable[[Path], None], who: str = "root") -> View:
        """Mount it, let `edit` do something in it; what was seen in it then."""

        def act() -> View:
            self._mount(who)
            edit(self.merged)
            return view(self.merged)

        if who == "nobody":
            for folder, names, files in os.walk(self.home):
                for name in (".", *names, *files):
                    os.chown(os.path.join(folder, name), NOBODY, NOBODY, follow_symlinks=False)
        found: View = in_child(act, who)
        return found

    def _mount(self, who: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEW_MOUNTS | (NEW_USER if who == "nobody" else 0)):
            raise OSError(ctypes.get_errno(), "unshare")
        if who == "nobody":
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {NOBODY} 1")
            Path("/proc/self/gid_map").write_text(f"0 {NOBODY} 1")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        layers = f"lowerdir={self.lower},upperdir={self.upper},workdir={self.home / 'work'}"
        options = f"{layers},{OPTIONS[who]}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(self.merged)], check=True
        )


def in_child(act: Callable[[], Any], who: str = "root") -> Any:
    """What `act` gives in a child of this process, as root or as nobody."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            if who == "nobody":
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                ctypes.CDLL(None).prctl(DUMPABLE, 1)
            try:
                answer: tuple[bool, Any] = True, act()
            except Exception as error:
                answer = False, repr(error)
            with open(writing, "wb") as stream:
                pickle.dump(answer, stream)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    good, found = pickle.loads(data)
    assert good, found
    return found


@contextmanager
def layers() -> Iterator[Layers]:
    """Layers in a folder that everybody may enter."""
    home = Path(tempfile.mkdtemp(prefix="layers-"))
    home.chmod(0o755)
    try:
        yield Layers(home)
    finally:
        if (home / "work" / "work").is_dir():
            (home / "work" / "work").chmod(0o700)
        remove(home)


def view(folder: Path) -> View:
    """Everything in a folder: paths relative to it."""
    found: View = {}
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = Path(place, name)
            state = path.lstat()
            kind, content = "special", ""
            if stat.S_ISDIR(state.st_mode):
                kind = "folder"
            elif stat.S_ISLNK(state.st_mode):
                kind, content = "link", os.readlink(path)
            elif stat.S_ISREG(state.st_mode):
                kind, content = "file", path.read_bytes().hex()
            mode = 0 if kind == "link" else stat.S_IMODE(state.st_mode)
            found[str(path.relative_to(folder))] = kind, mode, content
    return found


def deep(folder: Path, levels: int) -> None:
    """A folder in a folder in a folder, at the end a file `f`; from 2,048 levels on deeper than a
    path can be long."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
