"""Puts the files of one box together: its root, its world, what it is shown.

Called by the parent of boxes (`bubblewrap_keeper.py`) in a mount namespace that is the box's own;
standard library only, and importable on its own.

    AT/                   the box's folder on the host, made by the runner
    AT/points             mount points that the image does not have, over it
    AT/volume             what it writes: plain folders, or a file system of limited size
      root/ world/ shm    upper directories of the two overlays, and /dev/shm
    AT/root               the box's root, put together

Rules:
1. What the box writes lies in the volume, and nowhere else.
2. The box's user is not ours where we are root: files of root in what it is shown are mapped to it
   (`mounts.user_map`), so that it reads and writes them as we would, and nobody else can. Where a
   file system cannot map, what it is shown keeps its owners, and the world is copied for it.
3. What it writes is never root's, or it could leave a program of root's on the host, setuid: what
   it is shown for writing is given to its user instead, and stays that.
4. Mount points are made before anything of the box is there, and found without leaving it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from proofrig.sandboxes import mounts
else:
    import mounts

OVERLAY = "redirect_dir=nofollow,metacopy=off"
CANNOT_MAP = {errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
SAFE = mounts.ATTR_NOSUID | mounts.ATTR_NODEV
PATH = os.O_PATH


class Layers:
    """One box's files. plan: what `NamespaceSandbox._plan` says. users: the map to the box's user,
    -1 where we are no root. limited: a `new_volume` for it, -1 where what it writes has no limit;
    it is closed here."""

    def __init__(self, plan: dict[str, Any], users: int, limited: int = -1) -> None:
        self.plan = plan
        self.users = users
        self.limited = limited
        self.at: str = plan["at"]
        self.uid: int = plan["uid"]
        self.lower: str = plan["lower"]
        self.root = f"{self.at}/root"
        self.volume = f"{self.at}/volume"

    def build(self) -> list[int]:
        """Mount it all. Descriptors of the root, and of the folders of the volume: `root`, `world`
        and the volume itself."""
        try:
            self.make_volume()
        finally:
            if self.limited >= 0:
                os.close(self.limited)
        self.make_points()
        self.mount_root()
        root = os.open(self.root, PATH | os.O_DIRECTORY)
        made = [root]
        try:
            self.fill(root)
            for name in ("root/upper", "world/upper", ""):
                made.append(os.open(f"{self.volume}/{name}", os.O_RDONLY))
        except OSError:
            for fd in made:
                os.close(fd)
            raise
        return made

    def fill(self, root: int) -> None:
        """Mount into the root, outer paths before what lies in them."""
        for source, path, writable, mapped in self.plan["binds"]:
            if path == self.plan["world"]:
                self.mount_world(root)
            else:
                self.bind(root, source, path, writable=writable, mapped=mapped)
        for path in self.plan["hidden"]:
            self.hide(root, path)

    def make_volume(self) -> None:
        """The place for what the box writes, of limited size where that was asked for."""
        os.mkdir(self.volume, 0o711)
        if self.limited >= 0:
            tree, self.limited = self.limited, -1
            mounts.attach(tree, os.open(self.volume, PATH), self.volume)
        else:
            make_folders(self.volume)
        shm = f"{self.volume}/shm"
        if self.users >= 0:
            os.chown(shm, self.uid, self.uid)

    def make_points(self) -> None:
        """Where something is mounted that is not there in the image, there is a point for it."""
        points = f"{self.at}/points"
        os.mkdir(points, 0o755)
        self.follow(points, "/")
        for source, path, _, _ in self.plan["binds"]:
            place = self.place(path)
            if os.path.lexists(points + place) or os.path.lexists(self.lower + place):
                continue
            self.make_parents(points, place)
            if os.path.isdir(source):
                self.make_folder(points, place)
            else:
                os.close(os.open(points + place, os.O_CREAT | os.O_EXCL, 0o644))

    def place(self, path: str) -> str:
        """Where `path` lies, links of the image followed."""
        root = os.open(self.lower, PATH)
        try:
            found = mounts.inside(root, path, PATH)
            real = os.readlink(f"/proc/self/fd/{found}")
            os.close(found)
            return real.removeprefix(os.readlink(f"/proc/self/fd/{root}")) or "/"
        except FileNotFoundError:
            parent, name = os.path.split(path)
            return self.place(parent).rstrip("/") + "/" + name
        finally:
            os.close(root)

    def make_parents(self, points: str, path: str) -> None:
        parent = os.path.dirname(path)
        if not os.path.isdir(points + parent):
            self.make_parents(points, parent)
            self.make_folder(points, parent)

    def make_folder(self, points: str, path: str) -> None:
        os.mkdir(points + path)
        self.follow(points, path)

    def follow(self, points: str, path: str) -> None:
        """Have a folder of `points` look as that of the image that it covers."""
        os.chmod(points + path, 0o755)
        with contextlib.suppress(FileNotFoundError):
            covered = os.stat(self.lower + path)
            os.chmod(points + path, stat.S_IMODE(covered.st_mode))
            if self.users >= 0 and not self.plan["mapped"]:
                os.chown(points + path, covered.st_uid, covered.st_gid)
        if self.users >= 0 and self.plan["mapped"]:
            os.chown(points + path, self.uid, self.uid)

    def mount_root(self) -> None:
        os.mkdir(self.root, 0o711)
        image = f"{self.at}/image"
        os.mkdir(image)
        attributes = SAFE | mounts.ATTR_RDONLY
        if self.plan["mapped"]:
            tree, _ = self.mapped(self.lower, attributes)
        else:
            tree = mounts.clone(self.lower, attributes=attributes)
        mounts.attach(tree, os.open(image, PATH), image)
        upper, covered = f"{self.volume}/root/upper", os.stat(image)
        os.chmod(upper, stat.S_IMODE(covered.st_mode))
        if self.users >= 0:
            os.chown(upper, covered.st_uid, covered.st_gid)
        self.overlay(f"{self.at}/points:{image}", "root", self.root)

    def overlay(self, lower: str, name: str, target: str) -> None:
        upper, work = f"{self.volume}/{name}/upper", f"{self.volume}/{name}/work"
        options = f"{OVERLAY},lowerdir={lower},upperdir={upper},workdir={work}"
        if self.users < 0:
            options += ",userxattr"
        flags = mounts.MS_NOSUID | mounts.MS_NODEV
        mounts.mount("overlay", target, source="box", flags=flags, data=options)

    def mapped(self, path: str, attributes: int) -> tuple[int, bool]:
        """A mount of `path` whose files of root are the box's; whether that could be had."""
        if self.users >= 0:
            try:
                return mounts.clone(path, attributes=attributes, users=self.users), True
            except OSError as error:
                if error.errno not in CANNOT_MAP:
                    raise
        return mounts.clone(path, attributes=attributes), self.users < 0

    def bind(self, root: int, source: str, path: str, *, writable: bool, mapped: bool) -> None:
        attributes = SAFE if writable else SAFE | mounts.ATTR_RDONLY
        place = mounts.inside(root, path, PATH)
        if writable and self.users >= 0:
            mounts.give(os.path.realpath(source), self.uid)
        if mapped and not writable:
            tree, _ = self.mapped(source, attributes)
        else:
            tree = mounts.clone(source, attributes=attributes)
        mounts.attach(tree, place, f"show {path}")

    def mount_world(self, root: int) -> None:
        """The world, with the host's folder below. Colons and commas in its path mean nothing,
        because the overlay finds it at a place of ours."""
        world: str = self.plan["world"]
        lower, target = f"{self.at}/world-below", f"{self.at}/world"
        os.mkdir(lower)
        os.mkdir(target)
        tree, fits = self.mapped(world, SAFE | mounts.ATTR_RDONLY)
        mounts.attach(tree, os.open(lower, PATH), lower)
        upper = f"{self.volume}/world/upper"
        os.chmod(upper, stat.S_IMODE(os.stat(world).st_mode))
        if self.users >= 0:
            os.chown(upper, self.uid, self.uid)
        if not fits:
            self.copy_up(lower, upper)
        self.overlay(lower, "world", target)
        place = mounts.inside(root, world, PATH | os.O_DIRECTORY)
        mounts.attach(mounts.clone(target, attributes=SAFE), place, f"show {world}")

    def copy_up(self, lower: str, upper: str) -> None:
        """All of the world into the upper directory, as the box's own."""
        shutil.copytree(lower, upper, symlinks=True, dirs_exist_ok=True)
        for folder, folders, files in os.walk(upper):
            for name in (*folders, *files):
                os.chown(f"{folder}/{name}", self.uid, self.uid, follow_symlinks=False)

    def hide(self, root: int, path: str) -> None:
        """An empty file or folder over a path that the box is not to see."""
        try:
            place = mounts.inside(root, path, PATH)
        except FileNotFoundError:
            return
        folder = stat.S_ISDIR(os.fstat(place).st_mode)
        nothing = f"{self.at}/no-folder" if folder else f"{self.at}/no-file"
        if not os.path.lexists(nothing):
            if folder:
                os.mkdir(nothing, 0o755)
            else:
                os.close(os.open(nothing, os.O_CREAT | os.O_EXCL, 0o444))
        tree = mounts.clone(nothing, attributes=SAFE | mounts.ATTR_RDONLY)
        mounts.attach(tree, place, f"hide {path}")


def new_volume(room: dict[str, Any]) -> int:
    """An empty file system of limited size, for the volume of one box: a mount that is attached
    nowhere yet. room: `volumes.Room`. Raises OSError."""
    attributes = SAFE | mounts.ATTR_NOATIME
    if not room["template"]:
        size = {"size": str(room["bytes"]), "nr_inodes": str(room["inodes"]), "mode": "711"}
        volume = mounts.file_system("tmpfs", {"source": "box", **size}, attributes)
    else:
        image = f"{room['template']}.{os.getpid()}-{os.urandom(4).hex()}"
        file = mounts.copy_sparse(room["template"], image)
        try:
            os.unlink(image)  # the device holds it, and lets it go with the mount
            device, keep = mounts.attach_loop(file)
        finally:
            os.close(file)
        try:
            options = {"source": device, "nobarrier": "", "noinit_itable": ""}
            volume = mounts.file_system("ext4", options, attributes)
        finally:
            os.close(keep)
    make_folders(f"/proc/self/fd/{volume}")
    return volume


def make_folders(volume: str) -> None:
    """The folders of a volume."""
    for name in ("root", "world"):
        os.mkdir(f"{volume}/{name}", 0o711)
        os.mkdir(f"{volume}/{name}/upper", 0o755)
        os.mkdir(f"{volume}/{name}/work", 0o755)
    os.mkdir(f"{volume}/shm")
    os.chmod(f"{volume}/shm", 0o1777)  # whatever the umask is
