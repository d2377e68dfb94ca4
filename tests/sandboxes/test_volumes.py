"""Disks of limited size: what they are made with."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from proofrig.sandboxes import volumes

needs_mkfs = pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="needs mkfs.ext4")


@needs_mkfs
@pytest.mark.parametrize("size", [1 << 20, 5_000_000, 1 << 30])
def test_a_template_has_room_for_what_was_promised(size: int, tmp_path: Path) -> None:
    room = volumes.room(size, tmp_path, loop=True)
    header = Path(room.template).read_bytes()[:2048]
    (free,) = struct.unpack_from("<I", header, 1024 + volumes.FREE_AT)
    assert size <= (free - volumes.OWN_BLOCKS) * volumes.BLOCK < size + 2 * volumes.BLOCK
    assert os.stat(room.template).st_blocks * 512 < max(64 << 20, size), "it is sparse"
    made = os.stat(room.template).st_ino
    assert os.stat(volumes.room(size, tmp_path, loop=True).template).st_ino == made, "made once"
    assert os.listdir(tmp_path) == [Path(room.template).name]


def test_without_loop_devices_there_is_no_template(tmp_path: Path) -> None:
    assert volumes.room(1 << 30, tmp_path, loop=False) == (1 << 30, 131_072, "")
    assert volumes.room(1 << 20, tmp_path, loop=False).inodes == volumes.LEAST_INODES
    assert os.listdir(tmp_path) == []


@needs_mkfs
def test_what_makes_it_need_not_be_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/usr/sbin` is on root's alone."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert volumes.room(1 << 20, tmp_path, loop=True).template
