"""Reading a cassette, and what can be wrong with one.

Rules:
1. All problems are gathered before anything is refused: file, line, trial, field, what to do.
2. A last line that was torn by a kill is passed over; everything before it counts. What a recording
   that did not end lacks is not missed.
3. A line costs one digest and one decoding of its outer fields; bodies stay as they are until they
   are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from proofrig.cassettes.exchange import Exchange, digest_of, opened
from proofrig.cassettes.manifest import BLOBS, EXCHANGES, SEALS, Manifest, Seal, read
from proofrig.cassettes.seal import LeafSeals, chained, changed, seal_of
from proofrig.errors import Problem, SuiteError

_ACCEPT = "Undo the edit, or accept it with `proofrig cassette seal {dir}`."
_ROOM = 64 << 20
_exchange = msgspec.json.Decoder(Exchange)
_leaf_seals = msgspec.json.Decoder(LeafSeals)


class Cassette:
    """A cassette that was read. exchanges: in the order in which their calls began. torn: its last
    line was cut off."""

    def __init__(
        self, directory: Path, manifest: Manifest, exchanges: list[Exchange], torn: bool
    ) -> None:
        self.directory = directory
        self.manifest = manifest
        self.exchanges = sorted(exchanges, key=lambda one: one.n)
        self.torn = torn
        self._blobs = Blobs(directory)

    @property
    def finished(self) -> bool:
        """False when the recording was cut off before its end."""
        return self.manifest.seal is not None

    def request(self, exchange: Exchange) -> bytes:
        """The request's body."""
        return opened(exchange.request_as, exchange.request, self._blobs)

    def response(self, exchange: Exchange) -> bytes:
        """The answer's body, as far as it came."""
        return opened(exchange.response_as, exchange.response, self._blobs)

    def close(self) -> None:
        """Forget the big bodies that were read."""
        self._blobs.clear()


class Blobs(Mapping[str, bytes]):
    """The big bodies of a cassette by digest, read when they are asked for. The last ones are kept,
    `_ROOM` bytes of them."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / BLOBS
        self._read: dict[str, bytes] = {}
        self._size = 0

    def __getitem__(self, digest: str) -> bytes:
        found = self._read.get(digest)
        if found is None:
            if not digest.isalnum():  # a name, never a path
                raise KeyError(digest)
            try:
                found = (self._folder / digest).read_bytes()
            except OSError:
                raise KeyError(digest) from None
            self._read[digest] = found
            self._size += len(found)
            while self._size > _ROOM:
                oldest = next(iter(self._read))
                self._size -= len(self._read.pop(oldest))
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def clear(self) -> None:
        self._read.clear()
        self._size = 0


def load(directory: Path) -> Cassette:
    """A cassette. Raises UsageError where there is none, and SuiteError with all that is wrong with
    it."""
    cassette, problems = examine(directory)
    if problems:
        raise SuiteError(problems)
    return cassette


def check(directory: Path) -> list[Problem]:
    """All that is wrong with a cassette. Raises UsageError where there is none."""
    return examine(directory)[1]


def examine(directory: Path) -> tuple[Cassette, list[Problem]]:
    """A cassette as far as it can be read, and all that is wrong with it."""
    manifest = read(directory)
    lines, torn = lines_of(directory / EXCHANGES)
    reading = _Reading(directory)
    for number, line in enumerate(lines, 1):
        reading.line(number, line)
    if manifest.seal is not None:
        reading.whole(manifest.seal, torn)
    cassette = Cassette(directory, manifest, reading.exchanges, torn)
    reading.bodies(cassette)
    return cassette, sorted(reading.problems, key=lambda problem: problem.line)


def lines_of(path: Path) -> tuple[list[bytes], bool]:
    """The whole lines of a file, however they end, and whether a torn one follows."""
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return [], False
    *lines, rest = body.split(b"\n")
    return [line.removesuffix(b"\r") for line in lines], bool(rest)


class _Reading:
    """The lines of one cassette, and what is wrong with them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = str(directory / EXCHANGES)
        self._kept: dict[int, str] | None = None
        self._seals: list[str] = []
        self._edited: set[int] = set()  # lines
        self._lines: dict[int, int] = {}  # exchange -> line
        self.exchanges: list[Exchange] = []
        self.problems: list[Problem] = []

    def line(self, number: int, line: bytes) -> None:
        seal = seal_of(line)
        if seal is None:
            self._edited.add(number)
            self._name_edit(number, line)
        else:
            self._seals.append(seal)
        try:
            exchange = _exchange.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._wrong(number, f"expected an exchange: {error}", "Undo the edit.")
            return
        if (before := self._lines.setdefault(exchange.n, number)) != number:
            text = f"exchange {exchange.n} stands here and in line {before}"
            self._wrong(number, text, "Take one of them out.")
            return
        self.exchanges.append(exchange)

    def whole(self, said: Seal, torn: bool) -> None:
        """A finished recording has all of its lines, in their order."""
        if not self._edited and chained(self._seals) == said.digest:
            return
        known = set(self._leaf_seals())
        missing, more = sorted(known - set(self._lines)), sorted(set(self._lines) - known)
        for number in missing[:5]:
            cut = "the last line is cut off" if torn else "its line was taken out or cannot be read"
            self._wrong(0, f"exchange {number} is missing: {cut}", _ACCEPT)
        for number in more[:5]:
            text = f"exchange {number} was put in after the recording"
            self._wrong(self._lines[number], text, _ACCEPT)
        if not self.problems:
            self._wrong(0, "lines were exchanged or sealed anew after the recording", _ACCEPT)

    def bodies(self, cassette: Cassette) -> None:
        """Bodies can be put together, and big ones are what their names say."""
        for exchange in self.exchanges:
            line = self._lines[exchange.n]
            who = f"exchange {exchange.n} of trial {exchange.trial}"
            forms = (exchange.request_as, exchange.response_as)
            for field, form in zip(("request", "response"), forms, strict=True):
                if field == "request" and form in ("json", "text"):
                    continue
                try:
                    body = getattr(cassette, field)(exchange)
                except (ValueError, msgspec.MsgspecError) as error:
                    self._wrong(line, f"{who}: {field}: {error}", _ACCEPT)
                    continue
                name = msgspec.json.decode(getattr(exchange, field)) if form == "blob" else ""
                if name and digest_of(body) != name:
                    self._wrong(line, f"{who}: {field}: blobs/{name} was edited", _ACCEPT)
                    continue
                if field == "request" or line in self._edited:
                    continue
                if sum(size for _, size in exchange.chunks) != len(body):
                    text = f"{who}: chunks do not add up to the response's {len(body)} bytes"
                    self._wrong(line, text, _ACCEPT)
        cassette.close()

    def _name_edit(self, number: int, line: bytes) -> None:
        """Say which fields of a line are not as they were sealed."""
        found = edited(line, self._leaf_seals())
        if found is None:
            return
        n, trial, paths = found
        who = f"exchange {n} of trial {trial}"
        for path in paths[:5]:
            text = f"{who}: {path} is not as it was recorded: its seal is of another value"
            self._wrong(number, text, _ACCEPT)
        if not paths:
            known = n in self._leaf_seals()
            what = "was written anew, or its seal was" if known else "was edited or put in"
            self._wrong(number, f"{who} {what}: its seal does not fit", _ACCEPT)

    def _leaf_seals(self) -> dict[int, str]:
        if self._kept is None:
            self._kept = leaf_seals_of(self._directory)
        return self._kept

    def _wrong(self, line: int, text: str, hint: str) -> None:
        told = hint.replace("{dir}", str(self._directory))
        self.problems.append(Problem(text, self._file, line, hint=told))


def leaf_seals_of(directory: Path) -> dict[int, str]:
    """What `seals.jsonl` holds, by exchange."""
    found = {}
    for line in lines_of(directory / SEALS)[0]:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            kept = _leaf_seals.decode(line)
            found[kept.n] = kept.leaves
    return found


def edited(line: bytes, kept: Mapping[int, str]) -> tuple[int, str, list[str]] | None:
    """Of a line whose seal does not fit: the exchange, its trial, and the fields that are not as
    they were. None when it cannot be read at all."""
    try:
        value = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    value.pop("seal", None)
    n, trial = value.get("n"), str(value.get("trial"))
    if not isinstance(n, int) or n not in kept:
        return (n if isinstance(n, int) else 0), trial, ["n"]
    return n, trial, changed(value, kept[n])
