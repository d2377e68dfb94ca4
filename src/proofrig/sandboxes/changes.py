"""What a trial changed on disk: read from the layer it wrote to, or from a folder before and after.

    scan(upper, lower, at)            an overlay's upper directory, over what lies below it
    before = Before(folder)           a plain folder as it is now ...
    compare(before, folder, at)       ... and what was changed in it since
    merge(several)                    those of several layers as one

Rules:
1. The files are hostile. They are walked as `trees` does, after the box was killed.
2. A path counts as changed when its kind, bytes, target or mode are others than below. What the
   overlay merely copied up is left out. Times and owners are not looked at.
3. Everything is listed: of a folder that was deleted, also what lay in it.
4. There is an end to it (`ENTRIES`, `TEXT`): what is listed are the first in the order of paths,
   name by name, and `complete` is False.
5. The overlay is mounted without redirects and metadata copies: `redirect_dir=nofollow`,
   `metacopy=off`. A deleted path is a character device 0:0 (made by root or not); a folder that
   hides what lies below has the attribute `trusted.overlay.opaque`, or `user.overlay.opaque` where
   the mount has `userxattr`. The other of the two the trial may have set itself: it is ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from proofrig.sandboxes.packages import Read, packages_in
from proofrig.sandboxes.sandbox import Change, Changes, Keep
from proofrig.sandboxes.trees import VISITS, Contents, Tree, read, shown

ENTRIES = 100_000  # paths that are listed
TEXT = 32 << 20  # characters of all of them

Kind = Literal["file", "folder", "link", "special"]


def scan(
    upper: Path,
    lower: Path | None,
    at: str,
    *,
    keep: Keep | None = None,
    userxattr: bool | None = None,
) -> Changes:
    """What an overlay's upper directory adds to, changes and deletes of `lower` (None: nothing lay
    below). at: where the overlay was mounted in the box, an absolute path. userxattr: whether it
    was mounted with that option; by default, when this process is not root. Blocks."""
    contents = Contents(keep)
    try:
        with Tree(upper, mend=True) as above, Tree(lower) as below:
            layer = _Layer(below, contents)
            changes = _Scan(at, opaque_attribute(userxattr), above, layer, contents).run()
    except OSError as error:
        return _unreadable(at, error)
    return _with_packages(changes, at, upper, lower)


def compare(before: Before, folder: Path, at: str, *, keep: Keep | None = None) -> Changes:
    """What was changed in a plain folder since `before`. at: its path in the box. Blocks."""
    contents = Contents(keep)
    try:
        with Tree(folder, mend=True) as above:
            changes = _Scan(at, "", above, before, contents).run()
    except OSError as error:
        return msgspec.structs.replace(_unreadable(at, error), within=at)
    changes = _with_packages(changes, at, folder, None)
    complete = changes.complete and before.complete
    return msgspec.structs.replace(changes, complete=complete, within=at)


def merge(several: Iterable[Changes]) -> Changes:
    """The changes of several layers as one, in the order of paths."""
    several = list(several)
    entries = sorted((one for each in several for one in each.entries), key=_order)
    found = [one for each in several for one in each.packages]
    withins = {each.within for each in several}
    return Changes(
        entries=tuple(entries[:ENTRIES]),
        packages=tuple(sorted(found, key=lambda one: (one.manager, one.name, one.version))),
        complete=all(each.complete for each in several) and len(entries) <= ENTRIES,
        within=withins.pop() if len(withins) == 1 else "",
        error="; ".join(dict.fromkeys(each.error for each in several if each.error)),
    )


def _with_packages(changes: Changes, at: str, folder: Path, lower: Path | None) -> Changes:
    """What is known of packages by the changes of one layer."""
    top = at.rstrip("/") + "/"

    def reading(place: Path | None) -> Read:
        return lambda path, most: (
            read(place, path.removeprefix(top).split("/"), most) if path.startswith(top) else b""
        )

    packages = packages_in(changes.entries, reading(folder), reading(lower))
    return msgspec.structs.replace(changes, packages=packages)


def _unreadable(at: str, error: OSError) -> Changes:
    return Changes(error=f"the files of {at} cannot be read: {error.strerror}", complete=False)


def opaque_attribute(userxattr: bool | None) -> str:
    """The extended attribute of folders that hide what lies below."""
    user = os.geteuid() != 0 if userxattr is None else userxattr
    return f"{'user' if user else 'trusted'}.overlay.opaque"


def deleted(found: os.stat_result) -> bool:
    """Whether an entry of an upper directory says that the path is deleted."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


class Was(msgspec.Struct, frozen=True):
    """What is known of a path as it was. mode: with its kind. mark: tells its content apart from
    any other of this size. below: what lay in a folder."""

    mode: int
    size: int
    mark: str = ""
    below: dict[str, Was] = {}


class Below(Protocol):
    """What lay there before, moved as a `Tree` is."""

    def names(self, most: int) -> list[str]: ...
    def was(self, name: str) -> Was | None: ...
    def mark(self, name: str) -> str: ...
    def down(self, name: str) -> bool: ...
    def up(self) -> None: ...


class Before:
    """A folder as it is now: kind, mode, size and digest of everything in it. Making one blocks,
    and raises OSError. Used by one `compare`."""

    def __init__(self, folder: Path) -> None:
        top: dict[str, Was] = {}
        contents, path, count = Contents(), [top], 0
        with Tree(folder, mend=True) as tree:
            for name, found in tree.walk(ENTRIES):
                count += 1
                del path[tree.depth + 1 :]
                below: dict[str, Was] = {}
                mark = _mark(tree, name, found, contents)
                path[-1][name] = Was(found.st_mode, found.st_size, mark, below)
                if stat.S_ISDIR(found.st_mode):
                    path.append(below)
        self.complete = count < ENTRIES
        self._at: list[dict[str, Was]] = [top]

    def names(self, most: int) -> list[str]:
        return sorted(self._at[-1])[:most]

    def was(self, name: str) -> Was | None:
        return self._at[-1].get(name)

    def mark(self, name: str) -> str:
        return self._at[-1][name].mark

    def down(self, name: str) -> bool:
        was = self._at[-1].get(name)
        self._at.append(was.below if was is not None else {})
        return was is not None

    def up(self) -> None:
        self._at.pop()


class _Layer:
    """What lies below an overlay."""

    def __init__(self, tree: Tree, contents: Contents) -> None:
        self._tree = tree
        self._contents = contents
        self.names, self.down, self.up = tree.names, tree.down, tree.up

    def was(self, name: str) -> Was | None:
        found = self._tree.stat(name)
        return Was(found.st_mode, found.st_size) if found is not None else None

    def mark(self, name: str) -> str:
        found = self._tree.stat(name)
        return _mark(self._tree, name, found, self._contents) if found is not None else ""


class _Scan:
    """One walk through both, side by side. opaque: the attribute of folders that hide what lies
    below; "" in plain folders, where all that is not there was deleted."""

    def __init__(self, at: str, opaque: str, above: Tree, below: Below, contents: Contents) -> None:
        self._path = [at.rstrip("/")]
        self._opaque = opaque
        self._above = above
        self._below = below
        self._contents = contents
        self._visits = VISITS
        self._text = TEXT
        self._entries: list[Change] = []

    def run(self) -> Changes:
        hides = [not self._opaque]
        levels = [self._names(hides[-1])]
        while levels and self._visits > 0 and self._text > 0 and len(self._entries) <= ENTRIES:
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                if levels:
                    hides.pop()
                    self._path.pop()
                    self._above.up()
                    self._below.up()
            elif self._look(name):
                self._above.down(name)
                self._below.down(name)
                self._path.append(shown(name))
                hides.append(hides[-1] or self._hides())
                levels.append(self._names(hides[-1]))
        complete = not levels
        return Changes(entries=tuple(self._entries[:ENTRIES]), complete=complete)

    def _names(self, hides: bool) -> Iterator[str]:
        names = self._above.names(self._visits)
        if hides:
            names = sorted({*names, *self._below.names(self._visits)})
        return iter(names)

    def _hides(self) -> bool:
        return not self._above.there or self._above.opaque(self._opaque)

    def _look(self, name: str) -> bool:
        """Tell what was done to a path; whether there is more in it."""
        self._visits -= 1
        found, was = self._above.stat(name), self._below.was(name)
        if found is not None and self._opaque and deleted(found):
            found = None
        if found is None:
            if was is not None:
                size = was.size if stat.S_ISREG(was.mode) else 0
                self._add(Change(self._at(name), "deleted", _kind(was.mode), size))
        elif was is None or not self._same(name, found, was):
            self._put(name, found, "added" if was is None else "changed")
        return any(stat.S_ISDIR(one) for one in (found and found.st_mode, was and was.mode) if one)

    def _same(self, name: str, found: os.stat_result, was: Was) -> bool:
        if found.st_mode != was.mode or stat.S_ISDIR(was.mode):
            return found.st_mode == was.mode
        if found.st_size != was.size:
            return False
        return _mark(self._above, name, found, self._contents) == self._below.mark(name)

    def _put(self, name: str, found: os.stat_result, change: Literal["added", "changed"]) -> None:
        kind, size, digest, kept, target = _kind(found.st_mode), 0, "", "", ""
        if kind == "file":
            size = found.st_size
            digest, kept = self._contents.keep(self._above, name, size)
        elif kind == "link":
            target = shown(self._above.link(name))
            size = found.st_size
        self._add(Change(self._at(name), change, kind, size, digest, target, kept))

    def _add(self, change: Change) -> None:
        self._text -= len(change.path) + len(change.target)
        self._entries.append(change)

    def _at(self, name: str) -> str:
        return "/".join((*self._path, shown(name)))


def _mark(tree: Tree, name: str, found: os.stat_result, contents: Contents) -> str:
    """What tells the content of a path apart: a digest, a target; of what is too large the inode
    and its last change; of a device its number."""
    if stat.S_ISREG(found.st_mode):
        digest = contents.digest(tree, name, found.st_size)
        return digest or f"{found.st_dev}:{found.st_ino} {found.st_ctime_ns}"
    return tree.link(name) if stat.S_ISLNK(found.st_mode) else str(found.st_rdev)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "special"


def _order(change: Change) -> list[str]:
    return change.path.split("/")
