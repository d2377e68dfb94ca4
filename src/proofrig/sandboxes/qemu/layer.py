"""What a trial changed, from the tar of its guest's layer: told, and its world brought back.

Rules:
1. The tar is the trial's word: it is unpacked, read and applied as `collecting` and `changes` do.
2. The world is told against the host's folder, which is as it was given; all else against the
   image.
3. Folders that were only made for what is shown are no changes.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from proofrig.errors import SandboxError
from proofrig.sandboxes import rooted, trees
from proofrig.sandboxes.changes import merge, scan
from proofrig.sandboxes.collecting import bring_back, unpack
from proofrig.sandboxes.packages import packages_in
from proofrig.sandboxes.sandbox import Changes, Keep


@dataclass
class Layer:
    """The layer of one guest. image: the folder below it. world: the host's, "" for none. folders:
    those that are there for what is shown."""

    storage: Path
    image: Path
    world: str
    folders: frozenset[str] = frozenset()

    def changes(self, tar: BinaryIO, keep: Keep | None) -> Changes:
        """What the tar tells. Blocks."""
        layer = self.storage / f"layer-{secrets.token_hex(8)}"
        apart = self.storage / f"{layer.name}-world"
        try:
            layer.mkdir(mode=0o700)
            if error := unpack(tar, layer):
                return Changes(complete=False, error=error)
            error = part(layer, self.world, apart) if self.world else ""
            found = [scan(layer, self.image, "/", keep=keep)]
            if self.world:
                found.append(scan(apart, Path(self.world), self.world, keep=keep))
            changes = merge(found)
            entries = tuple(one for one in changes.entries if one.path not in self.folders)
            packages = packages_in(
                entries,
                lambda path, most: self._read(layer, apart, path, most),
                lambda path, most: self._read(self.image, Path(self.world or "/"), path, most),
            )
            if self.world and not error:
                error = bring_back(apart, Path(self.world))
            errors = "; ".join(text for text in (changes.error, error) if text)
            return msgspec.structs.replace(
                changes, entries=entries, packages=packages, error=errors
            )
        finally:
            trees.remove(layer)
            trees.remove(apart)

    def _read(self, root: Path, world: Path, path: str, most: int) -> bytes:
        """A file of one of both, b"" where there is none."""
        if self.world and path.startswith(self.world + "/"):
            root, path = world, path[len(self.world) :]
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
        try:
            return rooted.get(folder, path, most)
        except (FileNotFoundError, SandboxError):
            return b""
        finally:
            os.close(folder)


def part(layer: Path, world: str, apart: Path) -> str:
    """Take what was written in the world out of the layer of a whole guest, as the layer `apart`.
    "" or why that cannot be told. Nothing is followed."""
    here = layer
    for name in Path(world).parts[1:]:
        here = here / name
        found = os.lstat(here) if os.path.lexists(here) else None
        if found is None:  # nothing was written there
            apart.mkdir(mode=0o700)
            return ""
        if not stat.S_ISDIR(found.st_mode):
            here.unlink()
            apart.mkdir(mode=0o700)
            return f"the trial put something else where its world was, {world}"
    here.rename(apart)
    return ""
