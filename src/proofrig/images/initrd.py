"""The initial RAM disk of a vm: modules, a shell, and the script that starts it all.

    /init                 the guest's first script
    /bin/busybox          its shell and its tools, one static program
    /m/order, /m/*.ko     modules, and the order in which to load them

Rules:
1. The archive is written here, in the format that every kernel reads (`newc`), entry after entry
   in the order given, with no times and no owners: the same content gives the same bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import NamedTuple

_TRAILER = "TRAILER!!!"


class Entry(NamedTuple):
    """A file or a folder (`content` None) of the archive; `path` without a leading slash."""

    path: str
    content: bytes | None
    mode: int = 0o644


def archive(entries: Iterable[Entry]) -> bytes:
    """The entries as a `newc` archive. A folder must come before what lies in it."""
    parts = [
        _record(number, entry.path, entry.content or b"", _mode(entry))
        for number, entry in enumerate(entries, start=1)
    ]
    return b"".join([*parts, _record(0, _TRAILER, b"", 0)])


def initrd(init: bytes, busybox: bytes, modules: Iterable[tuple[str, bytes]]) -> bytes:
    """The archive of a vm. modules: (file name, content), in the order in which they load."""
    loaded = list(modules)
    order = "".join(f"{name}\n" for name, _ in loaded).encode()
    entries = [
        Entry("init", init, 0o755),
        Entry("bin", None),
        Entry("bin/busybox", busybox, 0o755),
        Entry("m", None),
        Entry("m/order", order),
        *(Entry(f"m/{name}", content) for name, content in loaded),
    ]
    return archive(entries)


def _mode(entry: Entry) -> int:
    return stat.S_IFDIR | 0o755 if entry.content is None else stat.S_IFREG | entry.mode


def _record(inode: int, path: str, content: bytes, mode: int) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)
