"""Where images are kept on this machine: one folder for all suites and projects of a user.

    <cache>/images/<digest>/   image.json, root/, disk.squashfs
    <cache>/boots/<digest>/    boot.json, kernel, initrd
    <cache>/bases/<digest>/    base.json, root/
    <cache>/apt/               lists and archives of packages
    <cache>/vm/                templates of vms, see `sandboxes.qemu`
    <cache>/building/          what is being built, or was when its builder died

The cache is `$PROOFRIG_CACHE`, else `$XDG_CACHE_HOME/proofrig`, else `~/.cache/proofrig`.

Rules:
1. A part is there, whole, or not at all: it is built in `building/` and moved.
2. One builds at a time; whoever waits finds what the other built. A lock dies with its holder, and
   what that left is cleared away by the next.
3. A part that is there is never changed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from proofrig.errors import UsageError

Part = Literal["images", "boots", "bases"]
_SHORT = 12  # characters of a digest that people see


class Built(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an image holds, to the version: its `image.json`. `base`: the digest of that part."""

    name: str
    digest: str
    base: str
    release: str
    architecture: str
    built_s: float  # seconds since 1970
    python: str
    asked: list[str] = []  # packages and requirements, as the recipe has them
    debian: dict[str, str] = {}  # package -> version
    packages: dict[str, str] = {}  # of Python, besides the standard library
    warm: list[str] = []  # modules that a vm imports before it is frozen
    bytes: int = 0  # on disk

    @property
    def short(self) -> str:
        """Enough of the digest to name the image."""
        return self.digest[:_SHORT]


class Booted(msgspec.Struct, frozen=True):
    """What a vm boots: its `boot.json`."""

    digest: str
    kernel: str  # package and version
    modules: list[str]
    bytes: int


class Store:
    """The images below `folder`; None: the cache of this user, see above."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or cache()).absolute()

    def part(self, part: Part, digest: str) -> Path:
        """Where a part lies, or would."""
        return self.folder / part / digest

    def images(self) -> list[Built]:
        """The images, newest first."""
        folders = (self.folder / "images").glob("*")
        found = [image for folder in folders if (image := self.image(folder.name))]
        return sorted(found, key=lambda image: -image.built_s)

    def image(self, digest: str) -> Built | None:
        """The image with this digest, None where it is not built."""
        try:
            text = (self.part("images", digest) / "image.json").read_bytes()
            return msgspec.json.decode(text, type=Built)
        except (OSError, msgspec.DecodeError):
            return None  # an unreadable one is of another version of us: it is built anew

    def named(self, name: str) -> Built:
        """The image with this name, or whose digest begins so. Raises UsageError for none and for
        several."""
        there = self.images()
        meant = [image for image in there if name == image.name or image.digest.startswith(name)]
        if len(meant) == 1:
            return meant[0]
        known = ", ".join(f"{image.short} ({image.name})" for image in meant or there) or "none"
        what = "several images" if meant else "no image"
        raise UsageError(f"{what} {name!r}; there are: {known}")

    def remove(self, image: Built) -> None:
        """Take an image away, and the base that no other one has."""
        with self.locked():
            self._drop(self.part("images", image.digest))
            if all(other.base != image.base for other in self.images()):
                self._drop(self.part("bases", image.base))

    def clear(self) -> None:
        """Take everything away, downloaded packages too."""
        with self.locked():
            for name in ("images", "boots", "bases", "apt", "vm"):
                self._drop(self.folder / name)

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """Hold the right to build; gives the empty folder `building`. Waits for other builders."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            building = self.folder / "building"
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            yield building
            shutil.rmtree(building, ignore_errors=True)
        finally:
            os.close(descriptor)

    def keep(self, built: Path, part: Part, digest: str) -> Path:
        """Move what was built into its place. Only under the lock."""
        place = self.part(part, digest)
        place.parent.mkdir(exist_ok=True)
        self._drop(place)
        built.rename(place)
        return place

    def _drop(self, path: Path) -> None:
        """Away at once, then its files."""
        if path.exists():
            grave = self.folder / "building" / f"dropped-{path.name}"
            path.rename(grave)
            shutil.rmtree(grave)


def cache() -> Path:
    """The folder of this user's images."""
    if own := os.environ.get("PROOFRIG_CACHE"):
        return Path(own)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(home) / "proofrig"


def bytes_below(folder: Path) -> int:
    """What the files below a folder take on disk."""
    total = 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total
