"""Files with holes."""

from __future__ import annotations

import os
from pathlib import Path

from proofrig.sandboxes.qemu import sparse

SIZE = 64 << 20


def holey(folder: Path) -> int:
    fd = sparse.nameless(folder, SIZE)
    os.pwrite(fd, b"one", 5 << 20)
    os.pwrite(fd, b"two", SIZE - 3)
    os.pwrite(fd, bytes(1 << 20), 20 << 20)  # zeros that were written
    return fd


def test_copies_have_the_content_and_the_holes(tmp_path: Path) -> None:
    source = holey(tmp_path)
    copied, cloned, in_memory = (
        sparse.nameless(tmp_path, 0),
        sparse.nameless(tmp_path, 0),
        os.memfd_create("x"),
    )
    digest = sparse.copy(source, copied)
    sparse.clone(source, cloned)
    assert sparse.copy(copied, in_memory) == digest, "zeros are as good as holes"
    for fd in (copied, cloned, in_memory):
        assert os.fstat(fd).st_size == SIZE and os.fstat(fd).st_blocks * 512 < 4 << 20
        assert os.pread(fd, 3, 5 << 20) == b"one" and os.pread(fd, 9, SIZE - 3) == b"two"
    os.pwrite(copied, b"x", 0)
    other = os.memfd_create("y")
    assert sparse.copy(copied, other) != digest
    for fd in (source, copied, cloned, in_memory, other):
        os.close(fd)
    assert list(tmp_path.iterdir()) == [], "they never had a name"
