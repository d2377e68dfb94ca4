"""Compressing the history of a finished run, and only of a finished one."""

from __future__ import annotations

import os
from pathlib import Path

import zstandard

from proofrig.history.format import PACK, SEGMENT, ZSTD, folder_of
from proofrig.history.payloads import compress_pack


def archive(run_dir: Path) -> int:
    """Compress every segment and pack of the run; returns the bytes saved. Killed half-way, the
    next call finishes the work: a segment is removed only after its copy is safely on disk."""
    saved = 0
    folder = folder_of(run_dir)
    for segment in sorted(folder.glob(f"*{SEGMENT}")):
        target = segment.with_name(segment.name + ZSTD)
        before = segment.stat().st_size
        with segment.open("rb") as source, target.open("wb") as out:
            zstandard.ZstdCompressor(level=3).copy_stream(source, out)
            out.flush()
            os.fsync(out.fileno())
        segment.unlink()
        saved += before - target.stat().st_size
    for pack in sorted(folder.glob(f"*{PACK}")):
        before = pack.stat().st_size
        compress_pack(pack)
        saved += before - pack.with_suffix(PACK + ZSTD).stat().st_size
    return saved
