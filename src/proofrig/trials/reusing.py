"""One box for the trials of a phase, one after another: what state a trial leaves to the next.

    put the trial's world in ─▶ the agent runs ─▶ take the world out ─▶ the next trial

Rules:
1. Files outside the world stay from trial to trial (home, /tmp, caches); processes do not. The
   world is emptied and filled anew for each trial, at one path of the box.
2. A box that is lost takes the trial with it that was in it; the next trial gets another.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from proofrig.errors import SandboxError
from proofrig.sandboxes.collecting import bring_back, unpack
from proofrig.sandboxes.sandbox import Box, Changes, Command, Ended, Exit, Shown
from proofrig.trials.boxing import Boxing, Left, make_observed

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
MOST_BYTES = 256 << 20  # of a world that is taken out
HURRY_S = 120.0


class ReusedBox:
    """The box of one worker, and the path of the worlds in it. folder: of its own, on the host."""

    def __init__(self, boxing: Boxing, folder: Path, marker: str) -> None:
        self._boxing = boxing
        self._folder = folder
        self._marker = marker
        self._box: Box | None = None

    @property
    def world(self) -> str:
        """Where trials find their worlds."""
        return str(self._folder / "world")

    @property
    def observed(self) -> str:
        """The folder that observers in the box write to."""
        return str(self._folder / "observed")

    async def enter(self, world: Path, further: Path) -> Box:
        """The box, with what lies in the host's folder `world` as its world, and the files of
        `further` at their own paths. Raises SandboxError."""
        os.makedirs(self.world, exist_ok=True)
        make_observed(self.observed)
        if self._box is None:
            shown = (Shown(self.observed, writable=True),)
            name = self._folder.name
            self._box = await self._boxing.start(name, self._marker, self.world, shown)
        box = self._box
        try:
            await self._run(["find", self.world, "-mindepth", "1", "-delete"])
            for path, inside in _files(world, self.world) + _files(further, str(further)):
                await box.put(inside, path.read_bytes(), path.stat().st_mode & 0o777)
        except SandboxError:
            await self.close()
            raise
        return box

    async def leave(self, world: Path) -> Left:
        """Make the host's folder `world` what the box's world is now, and tell what was used so
        far. What could not be taken out stands in `Changes.error`."""
        box = self._box
        assert box is not None
        level, sandbox = self._boxing.level, self._boxing.sandbox
        try:
            packed = await self._run(["tar", "-C", self.world, "-cf", "-", "."])
            error = await asyncio.to_thread(_take_out, packed.stdout, world)
            usage = await box.stats()
        except SandboxError as lost:
            await self.close()
            return Left(Ended(level=level, held=sandbox.held, by="lost"), Changes(error=str(lost)))
        ended = Ended(level=level, held=sandbox.held, emulated=sandbox.emulated, usage=usage)
        return Left(ended, Changes(within=self.world, error=error, complete=not error))

    async def close(self) -> None:
        """Leave nothing of it."""
        box, self._box = self._box, None
        if box is not None:
            await box.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _run(self, argv: list[str]) -> Exit:
        assert self._box is not None
        command = Command(
            argv=argv,
            env=ENV,
            cwd="/",
            timeout_s=HURRY_S,
            stdout_cap=MOST_BYTES,
            marker=self._marker,
        )
        exit = await (await self._box.exec(command)).wait()
        if exit.code != 0 or exit.stdout_bytes > MOST_BYTES:
            said = exit.stderr.decode("utf-8", "replace").strip()[-300:]
            raise SandboxError(f"in the reused box `{argv[0]}` ended with {exit.code}: {said}")
        return exit


def _files(folder: Path, inside: str) -> list[tuple[Path, str]]:
    """(file of the host, its path in the box) of every regular file."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                found.append((path, os.path.join(inside, path.relative_to(folder))))
    return found


def _take_out(tar: bytes, world: Path) -> str:
    """Fill the emptied folder from what the box packed; "" or why it could not be done."""
    empty(world)
    with tempfile.TemporaryDirectory(prefix="proofrig-") as upper:
        return unpack(io.BytesIO(tar), Path(upper)) or bring_back(Path(upper), world)


def empty(folder: Path) -> None:
    """Remove all that lies in a folder of the host."""
    remove: Callable[[str], object]
    for entry in os.scandir(folder):
        remove = shutil.rmtree if entry.is_dir(follow_symlinks=False) else os.unlink
        remove(entry.path)
