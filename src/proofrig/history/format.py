"""How a history lies on disk.

    <run>/history/rig-1.jsonl        a segment: one writer's entries, one JSON object a line
    <run>/history/rig-1.pack         its payloads: a header line, the bytes, a newline, repeated
    <run>/history/*.jsonl.zst        a finished run's segments (zstd)
    <run>/history/*.pack.zst, .idx   a finished run's payloads (zstd frames) and where each one is

Rules:
1. A segment has one writer, is only appended to, and its entries are in clock order.
2. The first line of a segment is a note named "segment" that states the format's version.
3. A last line without its newline is torn: the writer was killed inside a write. It is passed over
   and reported. Any other line that is not an entry is reported too, and passed over.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from proofrig.history.action import Entry

VERSION = 1
FOLDER = "history"
SEGMENT = ".jsonl"
PACK = ".pack"
INDEX = ".idx"
ZSTD = ".zst"

encoder = msgspec.json.Encoder()
decoder = msgspec.json.Decoder(Entry)


class PayloadHeader(msgspec.Struct, omit_defaults=True, gc=False):
    """The line before each payload: `kept` bytes follow, of `size` before the cap."""

    digest: str
    size: int
    kept: int
    redacted: bool = False


class PayloadPlace(msgspec.Struct, gc=False, array_like=True):
    """Where a payload lies in a compressed pack: its zstd frame, and its place inside it."""

    digest: str
    frame: int  # byte offset of the frame in the .pack.zst
    frame_size: int  # compressed bytes
    offset: int  # byte offset of the payload in the decompressed frame
    kept: int


header_decoder = msgspec.json.Decoder(PayloadHeader)
place_decoder = msgspec.json.Decoder(PayloadPlace)


def folder_of(run_dir: Path) -> Path:
    """Where a run keeps its history."""
    return run_dir / FOLDER


def segments_of(run_dir: Path) -> list[Path]:
    """The run's segments, compressed or not, in name order; a half-compressed one counts once."""
    folder = folder_of(run_dir)
    found = sorted(folder.glob(f"*{SEGMENT}"))
    plain = {path.name for path in found}
    found += [p for p in sorted(folder.glob(f"*{SEGMENT}{ZSTD}")) if p.stem not in plain]
    return sorted(found, key=lambda path: path.name)


def packs_of(run_dir: Path) -> list[Path]:
    """The run's payload packs, compressed or not, in name order."""
    folder = folder_of(run_dir)
    found = sorted(folder.glob(f"*{PACK}"))
    plain = {path.name for path in found}
    found += [p for p in sorted(folder.glob(f"*{PACK}{ZSTD}")) if p.stem not in plain]
    return sorted(found, key=lambda path: path.name)


def next_segment(run_dir: Path, writer: str) -> str:
    """A segment name `<writer>-<n>` that no earlier writer of this run has used."""
    taken = {path.name.split(".")[0] for path in segments_of(run_dir)}
    number = 1
    while f"{writer}-{number}" in taken:
        number += 1
    return f"{writer}-{number}"
