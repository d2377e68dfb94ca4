"""Prompts, results and other bytes, kept once by digest beside the segments.

Rules:
1. The digest is BLAKE2b-128 of the whole payload, in hex: equal bytes are stored once per writer.
2. A payload above the cap keeps its head; the header says how much there was.
3. Redacting keeps the header and drops the bytes, so the history still tells that and how much
   was said, and equality of digests survives.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import zstandard

from proofrig.history.format import (
    INDEX,
    PACK,
    ZSTD,
    PayloadHeader,
    PayloadPlace,
    encoder,
    header_decoder,
    packs_of,
    place_decoder,
)


def digest_of(data: bytes) -> str:
    """BLAKE2b-128 in hex (32 characters)."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class PayloadWriter:
    """Appends payloads to one pack. The file is made with the first payload."""

    def __init__(self, path: Path, *, cap: int) -> None:
        self.path = path
        self.cap = cap
        self._fd = -1
        self._buffer = bytearray()
        self._seen: set[str] = set()

    def put(self, data: bytes) -> str:
        """Store `data` unless it is here already; returns its digest."""
        digest = digest_of(data)
        if digest not in self._seen:
            self._seen.add(digest)
            kept = data[: self.cap]
            self._buffer += encoder.encode(PayloadHeader(digest, len(data), len(kept)))
            self._buffer += b"\n"
            self._buffer += kept
            self._buffer += b"\n"
        return digest

    def flush(self) -> None:
        """Hand the buffer to the operating system. Raises OSError; keeps what is unwritten."""
        if not self._buffer:
            return
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        while self._buffer:
            written = os.write(self._fd, self._buffer)
            del self._buffer[:written]

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PayloadReader:
    """Finds payloads of a run by digest, while it runs and after it was compressed."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._plain: dict[str, tuple[Path, int, int]] = {}  # digest -> pack, offset, kept
        self._packed: dict[str, tuple[Path, PayloadPlace]] = {}
        self._scanned: dict[Path, int] = {}  # pack -> bytes indexed so far
        self._frame: tuple[Path, int, bytes] | None = None

    def get(self, digest: str) -> bytes | None:
        """The payload's kept bytes; None when it is unknown or was redacted."""
        if digest not in self._plain and digest not in self._packed:
            self._scan()
        if digest in self._plain:
            pack, offset, kept = self._plain[digest]
            with pack.open("rb") as file:
                file.seek(offset)
                return file.read(kept)
        if digest in self._packed:
            pack, place = self._packed[digest]
            return self._read_frame(pack, place)[place.offset : place.offset + place.kept]
        return None

    def _scan(self) -> None:
        for pack in packs_of(self.run_dir):
            if pack.suffix == ZSTD:
                if pack not in self._scanned:
                    self._scanned[pack] = 1
                    index = pack.with_suffix("").with_suffix(INDEX)
                    for line in index.read_bytes().splitlines():
                        place = place_decoder.decode(line)
                        self._packed[place.digest] = (pack, place)
                continue
            start = self._scanned.get(pack, 0)
            for header, offset, end in records_of(pack, start):
                if not header.redacted:
                    self._plain[header.digest] = (pack, offset, header.kept)
                start = end
            self._scanned[pack] = start

    def _read_frame(self, pack: Path, place: PayloadPlace) -> bytes:
        if self._frame is None or self._frame[:2] != (pack, place.frame):
            with pack.open("rb") as file:
                file.seek(place.frame)
                packed = file.read(place.frame_size)
            self._frame = (pack, place.frame, zstandard.ZstdDecompressor().decompress(packed))
        return self._frame[2]


def records_of(pack: Path, start: int = 0) -> list[tuple[PayloadHeader, int, int]]:
    """The whole records of a pack from byte `start`: header, offset of the bytes, end of the
    record. A torn last record is left out."""
    found: list[tuple[PayloadHeader, int, int]] = []
    size = pack.stat().st_size
    with pack.open("rb") as file:
        file.seek(start)
        while line := file.readline():
            if not line.endswith(b"\n"):
                break
            header = header_decoder.decode(line)
            offset = file.tell()
            end = offset + header.kept + 1
            if end > size:
                break
            found.append((header, offset, end))
            file.seek(end)
    return found


def compress_pack(pack: Path, *, frame_bytes: int = 1 << 20) -> None:
    """Turn a pack into zstd frames of about `frame_bytes` and an index; then remove it."""
    target, index = pack.with_suffix(PACK + ZSTD), pack.with_suffix(INDEX)
    places: list[PayloadPlace] = []
    compressor = zstandard.ZstdCompressor(level=3)
    with pack.open("rb") as source, target.open("wb") as out:
        frame, waiting = bytearray(), list[tuple[str, int, int]]()

        def close_frame() -> None:
            packed = compressor.compress(bytes(frame))
            at = out.tell()
            out.write(packed)
            places.extend(PayloadPlace(d, at, len(packed), o, k) for d, o, k in waiting)
            frame.clear()
            waiting.clear()

        for header, offset, _ in records_of(pack):
            if header.redacted:
                continue
            source.seek(offset)
            waiting.append((header.digest, len(frame), header.kept))
            frame += source.read(header.kept)
            if len(frame) >= frame_bytes:
                close_frame()
        if waiting:
            close_frame()
        out.flush()
        os.fsync(out.fileno())
    index.write_bytes(b"".join(encoder.encode(place) + b"\n" for place in places))
    pack.unlink()


def redact(run_dir: Path, digests: set[str]) -> int:
    """Drop the bytes of these payloads from an uncompressed run; returns how many were dropped."""
    dropped = 0
    for pack in packs_of(run_dir):
        if pack.suffix == ZSTD:
            continue
        records = records_of(pack)
        if not any(header.digest in digests and not header.redacted for header, _, _ in records):
            continue
        data, fresh = pack.read_bytes(), pack.with_suffix(".tmp")
        with fresh.open("wb") as out:
            for header, offset, _ in records:
                gone = header.redacted or header.digest in digests
                dropped += gone and not header.redacted
                kept = b"" if gone else data[offset : offset + header.kept]
                out.write(
                    encoder.encode(PayloadHeader(header.digest, header.size, len(kept), gone))
                )
                out.write(b"\n" + kept + b"\n")
        fresh.replace(pack)
    return dropped
