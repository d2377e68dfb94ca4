"""Writing a cassette: line by line while a run goes on, and anew after an edit.

Rules:
1. A line is written whole, in one go, and never again; a big body is there before the line that
   names it. So whatever moment a recording is killed at, all but a last torn line can be read.
2. A recording that was cut off can go on, and so can that of the same run: the torn line is taken
   away first, and with it the trials that are run anew.
3. The manifest is put in its place at the beginning and, with the seal, at the end.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec

from proofrig.cassettes.cassette import Cassette, edited, examine, leaf_seals_of, lines_of
from proofrig.cassettes.exchange import Exchange, digest_of, written
from proofrig.cassettes.manifest import BLOBS, EXCHANGES, SEALS, Manifest, Seal, write
from proofrig.cassettes.manifest import FILE as MANIFEST
from proofrig.cassettes.seal import LeafSeals, chained, leaf_seals, seal_of, sealed
from proofrig.errors import InfraError, SuiteError, UsageError

_encode = msgspec.json.Encoder().encode


class _Numbered(msgspec.Struct):
    n: int


class Writer:
    """Appends exchanges to a cassette. anew: trials that are run anew, whose exchanges are taken
    out, whichever attempt they were of. Raises UsageError when there is a finished one already,
    unless it is of the same run, and InfraError when it cannot be written."""

    def __init__(
        self, directory: Path, manifest: Manifest, anew: frozenset[str] = frozenset()
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self._anew = anew
        self.next = 1  # the number of the next exchange
        self._seals: list[str] = []
        self._counts: Counter[str] = Counter()
        self._trials: set[str] = set()
        try:
            (directory / BLOBS).mkdir(parents=True, exist_ok=True)
            self._go_on()
            manifest.seal = None
            write(directory, manifest)
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
            self._exchanges = os.open(directory / EXCHANGES, flags, 0o644)
            self._leaves = os.open(directory / SEALS, flags, 0o644)
        except OSError as error:
            raise _cannot(directory, error) from error

    def number(self) -> int:
        """The number of an exchange that begins."""
        self.next += 1
        return self.next - 1

    def append(self, exchange: Exchange, blobs: tuple[bytes | None, ...] = ()) -> None:
        """Write an exchange, and the bodies that get files of their own."""
        text = _encode(exchange)
        line, seal = sealed(text)
        leaves = LeafSeals(exchange.n, leaf_seals(msgspec.json.decode(text)))
        try:
            for body in blobs:
                if body is not None:
                    self._blob(body)
            _write(self._exchanges, line + b"\n")
            _write(self._leaves, _encode(leaves) + b"\n")
        except OSError as error:
            raise _cannot(self.directory, error) from error
        self._seals.append(seal)
        self._count(exchange)

    def close(self) -> None:
        """Seal the recording. Closing twice is fine."""
        if self._exchanges < 0:
            return
        os.close(self._exchanges)
        os.close(self._leaves)
        self._exchanges = self._leaves = -1
        self.manifest.counts = dict(sorted(self._counts.items()))
        self.manifest.counts["trials"] = len(self._trials)
        self.manifest.seal = Seal(len(self._seals), chained(self._seals))
        try:
            write(self.directory, self.manifest)
        except OSError as error:
            raise _cannot(self.directory, error) from error

    def _blob(self, body: bytes) -> None:
        path = self.directory / BLOBS / digest_of(body)
        if not path.exists():
            fresh = path.with_suffix(".tmp")
            fresh.write_bytes(body)
            fresh.replace(path)

    def _count(self, exchange: Exchange) -> None:
        self._trials.add(exchange.trial)
        self._counts["exchanges"] += 1
        self._counts[exchange.channel] += 1
        self._counts["bytes"] += sum(size for _, size in exchange.chunks)

    def _go_on(self) -> None:
        """After the whole lines of a recording that was cut off."""
        path = self.directory / EXCHANGES
        if not path.exists():
            return
        before, problems = examine(self.directory)
        if problems:
            raise SuiteError(problems)
        if before.finished and not (
            before.manifest.run and before.manifest.run == self.manifest.run
        ):
            raise UsageError(
                f"{self.directory}: expected a new directory, found a finished recording. Record "
                "into another one, or remove it."
            )
        if before.finished:  # no longer: a kill from here on leaves one that was cut off
            before.manifest.seal = None
            write(self.directory, before.manifest)
        kept = {one.n for one in before.exchanges if one.trial.partition("~")[0] not in self._anew}
        for name in (SEALS, EXCHANGES):
            self._keep(self.directory / name, kept)
        self._seals = [seal_of(line) or "" for line in lines_of(path)[0]]
        for exchange in before.exchanges:
            self.next = exchange.n + 1
            if exchange.n in kept:
                self._count(exchange)

    def _keep(self, path: Path, kept: set[int]) -> None:
        """Leave the whole lines of these exchanges."""
        lines, torn = lines_of(path)
        left = [line for line in lines if msgspec.json.decode(line, type=_Numbered).n in kept]
        if torn or len(left) < len(lines):
            fresh = path.with_suffix(".tmp")
            fresh.write_bytes(b"".join(line + b"\n" for line in left))
            fresh.replace(path)


def reseal(directory: Path) -> int:
    """Accept a cassette as it is now; how many exchanges it has. Chunks are fitted to bodies that
    changed. A request that changed is found by its canonical form alone. Raises UsageError when a
    line cannot be read or a body is missing."""
    cassette, problems = examine(directory)
    lines, _ = lines_of(directory / EXCHANGES)
    if len(cassette.exchanges) != len(lines):
        raise UsageError("\n".join(["what cannot be read cannot be sealed:", *map(str, problems)]))
    asked_anew = _asked_anew(lines, leaf_seals_of(directory))
    fresh = directory / "sealing"
    writer = Writer(fresh, cassette.manifest)
    try:
        for exchange in cassette.exchanges:
            fitted, blobs = _fitted(cassette, exchange)
            if exchange.n in asked_anew:
                fitted = msgspec.structs.replace(fitted, raw="", req_hash="")
            writer.append(fitted, blobs)
        writer.close()
    except (ValueError, msgspec.MsgspecError) as error:
        raise UsageError(f"{directory}: a body cannot be put together: {error}") from error
    for path in (fresh / BLOBS).iterdir():
        path.replace(directory / BLOBS / path.name)
    for name in (EXCHANGES, SEALS, MANIFEST):
        (fresh / name).replace(directory / name)
    (fresh / BLOBS).rmdir()
    fresh.rmdir()
    return len(cassette.exchanges)


def _asked_anew(lines: list[bytes], kept: dict[int, str]) -> set[int]:
    """The exchanges whose request was edited."""
    found = [edited(line, kept) for line in lines if seal_of(line) is None]
    return {
        one[0]
        for one in found
        if one is not None and any(path == "n" or path.startswith("request") for path in one[2])
    }


def _fitted(cassette: Cassette, exchange: Exchange) -> tuple[Exchange, tuple[bytes | None, ...]]:
    """An exchange as it is now, its chunks as long as its body."""
    body = cassette.response(exchange)
    request_as, request, one = written(cassette.request(exchange), exact=False)
    response_as, response, other = written(body)
    left, chunks = len(body), list[tuple[int, int]]()
    for wait, size in exchange.chunks:
        chunks.append((wait, min(size, left)))
        left -= chunks[-1][1]
    if left > 0:
        wait, size = chunks.pop() if chunks else (0, 0)
        chunks.append((wait, size + left))
    was = sum(size for _, size in exchange.chunks)
    fitted = msgspec.structs.replace(
        exchange,
        request_as=request_as,
        request=request,
        response_as=response_as,
        response=response,
        chunks=[one for one in chunks if one[1]],
        length=len(body) if exchange.length == was else exchange.length,
    )
    return fitted, (one, other)


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _cannot(directory: Path, error: OSError) -> InfraError:
    return InfraError(
        f"cannot write the cassette {directory}: {error.strerror or error}. What was written "
        "before is safe."
    )
