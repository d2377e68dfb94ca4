"""The kernel out of its file, and its modules in order."""

from __future__ import annotations

import gzip
import lzma
import struct
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.images.kernel import modules, vmlinux

KERNEL = b"\x7fELF" + bytes(range(256)) * 40


def lz4(data: bytes) -> bytes:
    """The legacy format with blocks that hold nothing but literals."""
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 4096):
        part = data[at : at + 4096]
        assert len(part) >= 15
        length, token = len(part) - 15, b"\xf0"
        block = token + b"\xff" * (length // 255) + bytes([length % 255]) + part
        out += struct.pack("<I", len(block)) + block
    return out


def vmlinuz(payload: bytes, size: int = len(KERNEL), ends: bool = True) -> bytes:
    """A kernel's file as the boot protocol has it, two sectors of set-up code before the payload;
    ends: the size of what is inside follows, as for all formats but gzip, which has it itself."""
    payload += struct.pack("<I", size) if ends else b""
    image = bytearray(3 * 512 + 16)
    image[0x1F1] = 2
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + payload


@pytest.mark.parametrize(
    "image",
    [
        vmlinuz(gzip.compress(KERNEL), ends=False),
        vmlinuz(lzma.compress(KERNEL)),
        vmlinuz(lz4(KERNEL)),
    ],
    ids=["gzip", "xz", "lz4"],
)
def test_the_kernel_is_taken_out(image: bytes) -> None:
    assert vmlinux(image) == KERNEL


@pytest.mark.parametrize(
    "image",
    [
        b"MZ" + bytes(2000),
        b"short",
        vmlinuz(b"\x00\x01\x02 unheard of"),
        vmlinuz(lzma.compress(KERNEL)[:-20]),
        vmlinuz(gzip.compress(KERNEL)[:-20], ends=False),
        vmlinuz(b"\x02\x21\x4c\x18" + struct.pack("<I", 9) + b"\xff" * 9),
        vmlinuz(gzip.compress(b"no program"), ends=False),
    ],
    ids=["other machine", "short", "unknown", "torn xz", "torn gzip", "broken lz4", "no ELF"],
)
def test_what_cannot_be_taken_out_stays_as_it_is(image: bytes) -> None:
    assert vmlinux(image) == image


def module(folder: Path, name: str, depends: str = "", *, signed: bytes = b"") -> bytes:
    """Write a module's file; gives what a guest loads of it."""
    content = b"\x7fELF code\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"
    end = b""
    if signed:
        header = bytes(8) + struct.pack(">I", len(signed))
        end = signed + header + b"~Module signature appended~\n"
    path = folder / "kernel" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(content + end) if path.suffix == ".xz" else content + end)
    return content


def test_modules_come_after_those_they_need(tmp_path: Path) -> None:
    module(tmp_path, "block/disk-a.ko", "ring,bus_b")
    module(tmp_path, "bus-b.ko", "ring,builtin_c")
    module(tmp_path, "ring.ko")
    module(tmp_path, "other.ko")
    (tmp_path / "modules.builtin").write_text("kernel/lib/builtin-c.ko\nkernel/fs/ext4.ko\n")
    found = [name for name, _ in modules(tmp_path, ["disk_a", "bus_b", "ext4"])]
    assert found == ["ring.ko", "bus_b.ko", "disk_a.ko"]


@pytest.mark.parametrize("name", ["a.ko", "a.ko.xz"])
def test_signatures_are_cut_off(tmp_path: Path, name: str) -> None:
    content = module(tmp_path, name, signed=b"signature" * 30)
    assert list(modules(tmp_path, ["a"])) == [("a.ko", content)]


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    module(tmp_path, "a.ko", "gone")
    with pytest.raises(SandboxError, match="expected the kernel module gone below"):
        list(modules(tmp_path, ["a"]))
