"""The kernel of a vm, out of its Debian package: unpacked, never installed.

Rules:
1. Under emulation every instruction counts: the kernel is taken out of its self-extracting file
   (`vmlinux`), so that the guest does not unpack it at each boot. What cannot be unpacked here
   is taken as it is: it boots too, later.
2. Where the compressed kernel lies is read from the header of Linux' boot protocol, not searched.
3. Modules come in the order in which they can be loaded, and without their signatures: checking
   those takes the guest longer than loading them.
"""

from __future__ import annotations

import ctypes
import gzip
import lzma
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from proofrig.errors import SandboxError

_ELF = b"\x7fELF"
_SIGNED = b"~Module signature appended~\n"
_LZ4_BLOCK = 8 << 20  # bytes that one block of the legacy format holds when unpacked


def vmlinux(image: bytes) -> bytes:
    """The kernel inside a `vmlinuz`; the `vmlinuz` itself where it cannot be taken out."""
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        return image  # not of x86: what there is is what boots
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1F1] + 1) * 512 + offset
    payload = image[start : start + length]
    size = int.from_bytes(payload[-4:], "little")
    for magic, unpack in _UNPACKERS.items():
        if payload.startswith(magic):
            try:
                kernel = unpack(payload[:-4] if magic != b"\x1f\x8b" else payload, size)
            except (OSError, EOFError, ValueError, lzma.LZMAError):
                return image
            return kernel if kernel.startswith(_ELF) else image
    return image


def _lz4(payload: bytes, size: int) -> bytes:
    """The legacy format: after the magic, blocks, each behind its length. Raises OSError where
    the library of the package manager is missing, ValueError for what is broken."""
    library = ctypes.CDLL("liblz4.so.1")
    room = ctypes.create_string_buffer(min(_LZ4_BLOCK, size))
    parts: list[bytes] = []
    at = 4
    while at + 4 <= len(payload):
        (length,) = struct.unpack_from("<I", payload, at)
        block = payload[at + 4 : at + 4 + length]
        got = library.LZ4_decompress_safe(block, room, len(block), len(room))
        if got < 0 or not block:
            raise ValueError("a block of the kernel cannot be unpacked")
        parts.append(room.raw[:got])
        at += 4 + length
    return b"".join(parts)


def _zstd(payload: bytes, size: int) -> bytes:
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(size)
    arguments = (room, ctypes.c_size_t(size), payload, ctypes.c_size_t(len(payload)))
    if library.ZSTD_decompress(*arguments) != size:
        raise ValueError("the kernel cannot be unpacked")
    return room.raw


_UNPACKERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"\x02\x21\x4c\x18": _lz4,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\xfd7zXZ": lambda payload, _: lzma.decompress(payload),
    b"\x1f\x8b": lambda payload, _: gzip.decompress(payload),
}


def modules(folder: Path, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Modules below `folder` (`lib/modules/<release>`) as (file name, content), each after those
    that it needs. What is built into the kernel is left out. Raises SandboxError for one that is
    neither there nor built in."""
    files = {_name(path): path for path in folder.rglob("*.ko*")}
    builtin = {_name(Path(line)) for line in _lines(folder / "modules.builtin")}
    done: set[str] = set()

    def visit(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name in builtin:
            return
        done.add(name)
        if name not in files:
            raise SandboxError(f"expected the kernel module {name} below {folder}; there is none")
        content = _module(files[name])
        for needed in _depends(content):
            yield from visit(needed)
        yield f"{name}.ko", content

    for name in wanted:
        yield from visit(name)


def _name(path: Path) -> str:
    return path.name.split(".")[0].replace("-", "_")


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".xz":
        content = lzma.decompress(content)
    if content.endswith(_SIGNED):
        end = len(content) - len(_SIGNED)
        signature = int.from_bytes(content[end - 4 : end], "big")  # the end of a 12-byte header
        content = content[: end - 12 - signature]
    return content


def _depends(module: bytes) -> list[str]:
    """The names in the field `depends` of a module's `.modinfo`."""
    _, found, rest = module.partition(b"\0depends=")
    text = rest.partition(b"\0")[0].decode() if found else ""
    return [name.replace("-", "_") for name in text.split(",") if name]
