"""The disk of what a trial is shown."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes.guest.programs import USER
from proofrig.sandboxes.qemu import sparse
from proofrig.sandboxes.qemu.payload import Payloads
from proofrig.sandboxes.sandbox import BoxSettings, Shown
from vm_image import needs_vm

pytestmark = needs_vm


@pytest.fixture
def payloads(tmp_path: Path) -> Iterator[Payloads]:
    storage, image = tmp_path / "storage", tmp_path / "image"
    storage.mkdir()
    (image / "usr" / "bin").mkdir(parents=True)
    (image / "usr" / "bin" / "env").write_text("")
    made = Payloads(storage, str(image), 1 << 30)
    yield made
    made.close()


def settings(tmp_path: Path, **fields: object) -> BoxSettings:
    return BoxSettings(trial="t", marker="m", **fields)  # type: ignore[arg-type]


def listed(payloads: Payloads, given: BoxSettings) -> dict[str, tuple[str, str]]:
    """Path: (mode, owner) on the disk, as the file system's own tool tells."""
    disk = sparse.nameless(payloads.storage, 0)
    payloads.fill(disk, given)
    run = subprocess.run(
        ["unsquashfs", "-lln", "-d", "", f"/proc/self/fd/{disk}"],
        capture_output=True,
        text=True,
        check=True,
        pass_fds=[disk],
    )
    os.close(disk)
    rows = [line.split() for line in run.stdout.splitlines() if line[:1] in "-dl"]
    return {row[5]: (row[0], row[1]) for row in rows if len(row) > 5}


def test_shown_is_roots_and_the_world_the_trials(payloads: Payloads, tmp_path: Path) -> None:
    shown, world = tmp_path / "shown", tmp_path / "shown" / "world"
    world.mkdir(parents=True)
    (world / "mine").write_text("w")
    (world / "mine").chmod(0o640)
    (shown / "tool").write_text("s")
    (shown / "tool").chmod(0o766)
    (shown / "answers").mkdir()
    (shown / "answers" / "one").write_text("42")
    (shown / "link").symlink_to("tool")
    given = settings(
        tmp_path,
        world=str(world),
        shown=(Shown(str(shown)), Shown("/usr/bin/env")),
        hidden=(str(shown / "answers"),),
    )
    found = listed(payloads, given)
    own, root = f"{USER}/{USER}", "0/0"
    assert found[f"{world}/mine"] == ("-rw-r-----", own)
    assert found[str(world)][1] == own
    assert found[f"{shown}/tool"] == ("-rwxr-xr-x", root)
    assert found[f"{shown}/link"][1] == found[str(tmp_path)][1] == root
    assert not [path for path in found if "answers" in path or path.startswith("/usr")]


def test_the_same_content_is_packed_once(payloads: Payloads, tmp_path: Path) -> None:
    worlds = [tmp_path / "a" / "w", tmp_path / "b" / "w"]
    disk = sparse.nameless(payloads.storage, 0)
    for turn, content in enumerate(("same", "same", "other")):
        world = worlds[0]
        world.mkdir(parents=True, exist_ok=True)
        (world / "file").unlink(missing_ok=True)
        (world / "file").write_text(content)
        payloads.fill(disk, settings(tmp_path, world=str(world)))
        assert len(payloads.made) == (1, 1, 2)[turn]
    os.close(disk)


def test_nothing_to_show_is_no_disk(payloads: Payloads, tmp_path: Path) -> None:
    disk = sparse.nameless(payloads.storage, 0)
    assert payloads.fill(disk, settings(tmp_path)) is None
    os.close(disk)


@pytest.mark.parametrize(
    ("shown", "why"),
    [(Shown("/no/such/path"), "not there"), (Shown("/", writable=True), "for writing")],
    ids=["missing", "writable"],
)
def test_what_cannot_be_shown(payloads: Payloads, tmp_path: Path, shown: Shown, why: str) -> None:
    with pytest.raises(SandboxError, match=why):
        payloads.fill(-1, settings(tmp_path, shown=(shown,)))


def test_too_much_is_refused(payloads: Payloads, tmp_path: Path) -> None:
    payloads.room = 1000
    with pytest.raises(SandboxError, match="show it less"):
        payloads.fill(-1, settings(tmp_path, shown=(Shown(__file__),)))
