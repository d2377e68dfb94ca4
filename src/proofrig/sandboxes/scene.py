"""What a contained box's engine is told, and what it answers: the contract between `contained`
and the command lines of podman, docker and runsc."""

from __future__ import annotations

import os
from typing import Protocol

import msgspec

from proofrig.sandboxes.sandbox import BoxSettings, Held, Image, Level
from proofrig.sandboxes.volumes import Room

INSIDE = "/run/proofrig"  # in the box: `inside.py`, and its way to the runner
ROOT = "/run/root"  # in the stage: the box's files
PTS = "/run/pts"  # in the stage: terminals for the box
LOG = "/run/box.log"  # in the stage: what the first process says, where the engine keeps it
BOX_UID = 65433  # as whom boxes of root run; no account of a distribution has it


class Mount(msgspec.Struct, frozen=True):
    """Something of the host in the box, read-only unless `writable`. source: a path; a relative one
    lies in the box's folder. overlay: what is written goes to a layer. mapped: files of the host's
    root are those of the box's user."""

    source: str
    at: str
    writable: bool = False
    overlay: bool = False
    mapped: bool = True


class Layout(msgspec.Struct, frozen=True):
    """A box that is to be. storage: its folder. argv: its first process, run as `uid`, with the
    group of the same number. as_root: the runner is root."""

    name: str
    storage: str
    image: Image
    settings: BoxSettings
    argv: list[str]
    uid: int
    as_root: bool


class Scene(msgspec.Struct, frozen=True):
    """How it is started. argv: the engine's command, ended with status 0 or running while the box
    does. files: what it needs in `/run`, by path. mounts: what it shows the box besides. serves: it
    reaches the box's files as root, for the box's user. bare: it puts the box's files together
    itself, so the stage does nothing; then `stop` ends the box."""

    argv: list[str]
    env: dict[str, str]
    files: dict[str, str] = {}
    mounts: list[Mount] = []
    serves: bool = False
    bare: bool = False
    stop: list[str] = []


class Engine(Protocol):
    """Starts first processes. plants: a box's network can be entered from outside. whole: the
    engine's own processes work for the box, and count as it does. held: what it does about limits
    by itself."""

    level: Level
    plants: bool
    whole: bool
    held: Held

    async def check(self, image: Image) -> str:
        """That the engine is there, and has the image; its version. Raises Unavailable."""

    def uid(self) -> int:
        """As whom commands run, as seen in the box."""

    def scene(self, layout: Layout) -> Scene:
        """How a box is started. Raises SandboxError for one that this engine cannot give, and
        Unavailable for a limit that it cannot hold."""


def mounts(settings: BoxSettings) -> list[Mount]:
    """What is mounted in a box, outer folders before inner ones."""
    found = [Mount(shown.path, shown.path, shown.writable) for shown in settings.shown]
    if settings.world:
        found.append(Mount(settings.world, settings.world, True, overlay=True))
    found.append(Mount("control", INSIDE, mapped=False))
    found += [Mount(name, f"/etc/{name}", mapped=False) for name in ("passwd", "group")]
    return sorted(found, key=lambda mount: mount.at.rstrip("/").count("/"))


def for_stage(layout: Layout, scene: Scene, room: Room | None, reply_fd: str) -> bytes:
    """What `stage.py` reads. room: what it may write."""
    settings = layout.settings
    plan = {
        "at": layout.storage,
        "uid": layout.uid,
        "lower": layout.image.root,
        "mapped": layout.as_root,
        "world": settings.world,
        "binds": [
            (os.path.join(layout.storage, each.source), each.at, each.writable, each.mapped)
            for each in (*mounts(settings), *scene.mounts)
        ],
        "hidden": list(settings.hidden),
        "room": room._asdict() if room is not None else None,
    }
    spec = msgspec.to_builtins(scene)
    return msgspec.json.encode(
        {**spec, "plan": plan, "as_root": layout.as_root, "reply_fd": reply_fd}
    )
