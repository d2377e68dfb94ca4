"""Templates: their keys, and that what lies in the cache is checked."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import time
from pathlib import Path

import msgspec
import pytest

from proofrig.sandboxes.qemu import arguments, sparse, template
from proofrig.sandboxes.qemu.template import Plan, make_scratch
from proofrig.sandboxes.sandbox import Image
from vm_image import needs_vm


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    files = {}
    for name in ("disk", "kernel", "initrd"):
        (tmp_path / name).write_text(name)
        files[name] = str(tmp_path / name)
    machine = arguments.machine("microvm", "tcg", 256, 2_600_000)
    return Plan(Image(name="i", **files), machine, 1024, ("json",), "QEMU 1")


@pytest.mark.parametrize(
    "other",
    [
        {"qemu": "QEMU 2"},
        {"scratch_mb": 2048},
        {"warm": ("ssl",)},
        {"machine": arguments.machine("microvm", "tcg", 256, 2_700_000)},
        {"machine": arguments.machine("microvm", "kvm", 256, 2_600_000)},
        {"machine": arguments.machine("q35", "tcg", 256, 2_600_000)},
        {"machine": arguments.machine("microvm", "tcg", 512, 2_600_000)},
    ],
    ids=["qemu", "disk", "warm", "clock", "accelerator", "machine", "memory"],
)
def test_whatever_the_state_depends_on_is_in_the_key(plan: Plan, other: dict[str, object]) -> None:
    assert msgspec.structs.replace(plan).key() == plan.key()
    assert msgspec.structs.replace(plan, **other).key() != plan.key()


@pytest.mark.parametrize("name", ["disk", "kernel", "initrd"])
def test_another_file_of_the_image_is_another_key(plan: Plan, name: str) -> None:
    before = plan.key()
    Path(getattr(plan.image, name)).write_text("other")
    assert plan.key() != before


def stored(folder: Path) -> int:
    """A template of made-up parts, as it is written."""
    memory = os.memfd_create("memory", os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, 8 << 20)
    os.pwrite(memory, b"state of a machine", 5 << 20)
    for name in ("state", "scratch"):
        (folder / name).write_text(name)
    digests = template._store(folder, memory)
    (folder / "template.json").write_text(json.dumps({"digests": digests}))
    return memory


def test_what_was_stored_is_loaded_and_sealed(tmp_path: Path) -> None:
    memory = stored(tmp_path)
    loaded = template._load(tmp_path)
    assert loaded is not None
    assert os.pread(loaded, 18, 5 << 20) == b"state of a machine"
    for fd in (memory, loaded):
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE) as private:
            private[0] = 1  # as copies do
        assert os.pread(fd, 1, 0) == b"\0"
        os.close(fd)


@pytest.mark.parametrize("name", ["memory", "state", "scratch", "template.json"])
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_what_was_harmed_is_not_loaded(tmp_path: Path, name: str, harm: str) -> None:
    os.close(stored(tmp_path))
    if harm == "gone":
        (tmp_path / name).unlink()
    else:
        with open(tmp_path / name, "r+b") as file:
            file.write(b"x")
    assert template._load(tmp_path) is None


async def test_what_nobody_opened_for_long_is_taken_away(tmp_path: Path) -> None:
    for name, days in (("used", 13), ("old", 15)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "template.json").touch()
        os.utime(tmp_path / name, (0, time.time() - 86_400 * days))
    (tmp_path / "building.new").mkdir()
    await template.prune(tmp_path)
    left = set(os.listdir(tmp_path))
    assert {"used", "building.new"} <= left and "old" not in left


@needs_vm
async def test_a_scratch_disk_costs_little(tmp_path: Path) -> None:
    await make_scratch(tmp_path / "scratch", 4096)
    found = (tmp_path / "scratch").stat()
    assert found.st_size == 4 << 30 and found.st_blocks * 512 < 8 << 20
    fd = os.open(tmp_path / "scratch", os.O_RDONLY)
    assert list(sparse.extents(fd))
    os.close(fd)
