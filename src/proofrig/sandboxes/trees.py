"""Walking trees of files that an agent made, and that may hold anything.

    with Tree(folder) as tree:
        for name in tree.names(): ...      # of the folder where it stands
        tree.down("a"); tree.up()          # to a folder in it, and back

Rules:
1. A tree is walked by one descriptor, name by name. No path is ever joined and no link followed, so
   that nothing outside is reached, and depth costs neither stack nor descriptors.
2. Only regular files are opened. Pipes, sockets and devices are looked at, never opened.
3. What is read is bounded (`Contents`): a sparse file of a terabyte costs no more than its cap.
4. Without root, a folder or file that its owner may not read is opened up where `mend` is set, and
   gets its mode back when it is left.
5. Nobody else writes in the tree meanwhile. A folder that was moved all the same is an OSError.
"""

from __future__ import annotations

import errno
import hashlib
import heapq
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from proofrig.sandboxes.sandbox import Keep

VISITS = 2_000_000  # entries of a tree that are looked at
HASHED = 256 << 20  # bytes of a file that is hashed; of a larger one only the size is told
HASHED_ALL = 8 << 30  # bytes that are hashed of a tree
PIECE = 1 << 20

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OWNER = stat.S_IRWXU
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Tree:
    """A place in a tree. Going down to what is no folder, or is not there, leads nowhere: all is
    empty there, and `up` leads back. None as root: nowhere at all. mend: the files are ours to open
    up (rule 4); of those of others, a folder that may not be entered is as one that is not there.
    """

    def __init__(self, root: Path | None, *, mend: bool = False) -> None:
        self._ours = mend
        self._mend = mend and os.geteuid() != 0
        self._above: list[tuple[int, int, int | None]] = []  # device, inode, mode to be given back
        self._mode: int | None = None
        self._lost = 0 if root is not None else 1
        self._fd = -1
        if root is not None:
            self._fd, self._mode = self._opened(str(root), _FOLDER & ~os.O_NOFOLLOW, None)
            self._open_up()

    def __enter__(self) -> Tree:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._fd < 0:
            return
        self._lost = 0
        with suppress(OSError):
            while self._above:
                self.up()
            self._give_back()
        os.close(self._fd)

    @property
    def depth(self) -> int:
        """How many folders below the root the place is. Only where `there`."""
        return len(self._above)

    @property
    def there(self) -> bool:
        """Whether the place is a folder of the tree."""
        return not self._lost

    @property
    def fd(self) -> int:
        """The folder's descriptor. Only where `there`."""
        if self._lost:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._fd

    def names(self, most: int = VISITS) -> list[str]:
        """What lies here, in order; at most the first `most`."""
        if self._lost:
            return []
        with os.scandir(self._fd) as found:
            return heapq.nsmallest(most, (one.name for one in found))

    def stat(self, name: str) -> os.stat_result | None:
        """What `name` is, a link itself; None when it is not there."""
        if self._lost:
            return None
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except PermissionError:
            if self._ours:
                raise
            return None

    def link(self, name: str) -> str:
        """Where the link `name` points to."""
        return os.readlink(name, dir_fd=self.fd)

    def open(self, name: str) -> int:
        """A descriptor of the regular file `name`. Raises OSError."""
        found, _ = self._opened(name, _FILE, self._fd)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise OSError(errno.EINVAL, "not a regular file")
        return found

    def opaque(self, attribute: str) -> bool:
        """Whether the folder hides what lies in the layers below."""
        if self._lost:
            return False
        try:
            return os.getxattr(self._fd, attribute) == b"y"
        except OSError:
            return False

    def down(self, name: str) -> bool:
        """Go to a folder in this one; whether it is there."""
        if self._lost:
            self._lost += 1
            return False
        try:
            found, mode = self._opened(name, _FOLDER, self._fd)
        except OSError as error:
            if error.errno not in _NOWHERE and (self._ours or error.errno != errno.EACCES):
                raise
            self._lost = 1
            return False
        here = os.fstat(self._fd)
        self._above.append((here.st_dev, here.st_ino, self._mode))
        os.close(self._fd)
        self._fd, self._mode = found, mode
        self._open_up()
        return True

    def up(self, mode: int | None = None) -> None:
        """Go back to the folder around; the one that is left gets the mode `mode`."""
        if self._lost:
            self._lost -= 1
            return
        above = os.open("..", _FOLDER, dir_fd=self._fd)
        device, inode, before = self._above.pop()
        if mode is not None:
            self._mode = mode
        self._give_back()
        os.close(self._fd)
        self._fd, self._mode = above, before
        here = os.fstat(above)
        if (here.st_dev, here.st_ino) != (device, inode):
            raise OSError(errno.ESTALE, "a folder was moved while it was read")

    def remove(self, name: str) -> None:
        """Leave nothing of `name`, whatever it is. It need not be there."""
        found = self.stat(name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            self.down(name)
            self.clear()
            self.up()
            os.rmdir(name, dir_fd=self.fd)
        elif found is not None:
            os.unlink(name, dir_fd=self.fd)

    def clear(self) -> None:
        """Leave nothing of what lies here."""
        left = [self.names()]
        path: list[str] = []
        while True:
            if left[-1]:
                name = left[-1].pop()
                found = self.stat(name)
                if found is not None and stat.S_ISDIR(found.st_mode):
                    self.down(name)
                    path.append(name)
                    left.append(self.names())
                else:
                    os.unlink(name, dir_fd=self.fd)
            elif path:
                left.pop()
                self.up()
                os.rmdir(path.pop(), dir_fd=self.fd)
            else:
                return

    def walk(self, most: int = VISITS) -> Iterator[tuple[str, os.stat_result]]:
        """Everything below, folders before what they hold, in order: the name and what it is. When
        it is handed out the tree stands in its folder; `most` entries are looked at."""
        levels = [iter(self.names(most))]
        while levels:
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                if levels:
                    self.up()
                continue
            found = self.stat(name)
            if found is None:
                continue
            most -= 1
            if most < 0:
                for _ in levels[1:]:
                    self.up()
                return
            yield name, found
            if stat.S_ISDIR(found.st_mode):
                self.down(name)
                levels.append(iter(self.names(most + 1)))

    def _opened(self, name: str, flags: int, at: int | None) -> tuple[int, int | None]:
        """A descriptor, and the mode that it had to be opened up from."""
        try:
            return os.open(name, flags, dir_fd=at), None
        except PermissionError:
            if not self._mend:
                raise
        handle = os.open(name, os.O_PATH | os.O_CLOEXEC | flags & os.O_NOFOLLOW, dir_fd=at)
        try:
            mode = stat.S_IMODE(os.fstat(handle).st_mode)
            os.chmod(f"/proc/self/fd/{handle}", mode | _OWNER)
            try:
                return os.open(name, flags, dir_fd=at), mode
            finally:
                if not flags & os.O_DIRECTORY:
                    os.chmod(f"/proc/self/fd/{handle}", mode)
        finally:
            os.close(handle)

    def _open_up(self) -> None:
        """A folder that can be listed may still refuse the way to what lies in it."""
        mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
        if self._mend and mode & _OWNER != _OWNER:
            os.fchmod(self._fd, mode | _OWNER)
            self._mode = mode

    def _give_back(self) -> None:
        if self._mode is not None:
            os.fchmod(self._fd, self._mode)
            self._mode = None


class Contents:
    """What is read of files, within bounds. keep: which copies are kept; None: none."""

    def __init__(self, keep: Keep | None = None) -> None:
        self._keep = keep
        self._hashed = HASHED_ALL
        self._kept = keep.all_bytes if keep is not None else 0

    def digest(self, tree: Tree, name: str, size: int) -> str:
        """sha256 hex of a regular file; "" when it is too large, or cannot be read."""
        return self._read(tree, name, size, None)

    def keep(self, tree: Tree, name: str, size: int) -> tuple[str, str]:
        """The digest of a regular file, and that of its copy, "" where none was kept."""
        keep = self._keep
        if keep is None or size > min(keep.file_bytes, self._kept):
            return self.digest(tree, name, size), ""
        copy = bytearray()
        digest = self._read(tree, name, size, copy)
        if not digest:
            return "", ""
        self._kept -= len(copy)
        return digest, keep.store(bytes(copy))

    def _read(self, tree: Tree, name: str, size: int, copy: bytearray | None) -> str:
        if size > min(HASHED, self._hashed):
            return ""
        self._hashed -= size
        digest = hashlib.sha256()
        try:
            found = tree.open(name)
            try:
                while size > 0 and (piece := os.read(found, min(size, PIECE))):
                    digest.update(piece)
                    size -= len(piece)
                    if copy is not None:
                        copy += piece
            finally:
                os.close(found)
        except OSError:
            return ""
        return digest.hexdigest()


def read(folder: Path | None, path: Sequence[str], most: int) -> bytes:
    """The first `most` bytes of a regular file below `folder`, by the names on the way to it; b""
    where there is none that can be read."""
    try:
        with Tree(folder, mend=True) as tree:
            for name in path[:-1]:
                tree.down(name)
            if not path or not tree.there:
                return b""
            with open(tree.open(path[-1]), "rb") as file:
                return file.read(most)
    except (OSError, ValueError):
        return b""


def remove(path: Path) -> None:
    """Leave nothing of a path of ours, whatever lies in it: any depth, any mode. It need not be
    there. Raises OSError."""
    with Tree(path.parent, mend=True) as tree:
        tree.remove(path.name)


def shown(name: str) -> str:
    """A name as text that can be stored: bytes that are no UTF-8 as backslash and number."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
