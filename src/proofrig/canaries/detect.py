"""Finds canaries in texts, whatever was done to them: one Aho-Corasick pass over the plain text.

Rules:
1. Ten characters of a token in a row are a hit, in any form. With a thousand tokens, chance makes
   one in about 1e10 random characters; in prose, fewer.
2. An entity is a hit only near its number, and a weaker one (`how` is "fact").
3. A hit says what it saw and no more: its excerpt begins and ends with what proves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import ahocorasick  # type: ignore[import-not-found]
import msgspec

from proofrig.canaries.canary import LENGTH, Canary, Form
from proofrig.canaries.forms import Piece, number_near, patterns, place, plain, squeeze, undone

NEAR = 300  # bytes between an entity and its number
GAP = 3  # characters between two pieces of one token that a slip put in
SHOWN = 160  # characters of an excerpt
ELLIPSIS = " \u2026 "  # for what stands between a name and its number
REACH = 256  # bytes of a message that are kept for the next one


class Hit(msgspec.Struct, frozen=True):
    """A canary that was found. how: `verbatim`, `respelled` (case, separators), `partial`,
    `escaped`, `url`, `html`, `base64`, `hex`, `reversed`, `rot13`, `split` (over messages) or
    `fact`. excerpt: the text that proves it. start: its first byte in the text, escapes undone."""

    canary: Canary
    form: Form
    how: str
    excerpt: str
    start: int


class _Run(msgspec.Struct):
    """Pieces of one canary, one behind the other: where in the squeezed text, which of it."""

    first: int
    after: int
    low: int
    high: int


class Detector:
    """Knows how each of some canaries can look. Building costs about 0.4 ms a canary."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self.canaries = tuple(dict.fromkeys(canaries))
        self._numbers: dict[Canary, re.Pattern[bytes]] = {}
        self._automaton = ahocorasick.Automaton()
        for canary in self.canaries:
            if canary.form == "token":
                for pattern, how, piece in patterns(canary.token):
                    self._add(pattern, canary, how, piece)
            else:
                self._numbers[canary] = number_near(canary)
                self._add(squeeze(canary.entity.encode()), canary, "fact", (0, LENGTH))
        self._automaton.make_automaton()

    def scan(self, text: str | bytes) -> list[Hit]:
        """Every canary in `text`, in the order in which they stand there. Bytes are UTF-8."""
        raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
        if not self.canaries:
            return []
        source = plain(raw)
        hits = list(self._hits(source, raw))
        for how, start, part in undone(source):
            hits += [
                msgspec.structs.replace(hit, how=how, start=start)
                for hit in self._hits(part, part)
                if hit.how in ("verbatim", "respelled", "partial")
            ]
        return sorted(hits, key=lambda hit: hit.start)

    def _add(self, pattern: str, canary: Canary, how: str, piece: Piece) -> None:
        if pattern not in self._automaton:
            self._automaton.add_word(pattern, (len(pattern), canary, how, piece))

    def _hits(self, source: bytes, raw: bytes) -> Iterator[Hit]:
        for canary, how, run in self._runs(squeeze(source)):
            spans = [(place(source, run.first), place(source, run.after - 1) + 1)]
            if how == "fact":
                start, end = spans[0]
                number = self._numbers[canary].search(source, max(0, start - NEAR), end + NEAR)
                if number is None:
                    continue
                spans = sorted([*spans, number.span()])
            excerpt = ELLIPSIS.join(source[a:b].decode("utf-8", "replace") for a, b in spans)
            if how == "plain":
                how = _plainly(canary.token, run, excerpt, raw)
            yield Hit(canary, canary.form, how, _short(excerpt), spans[0][0])

    def _runs(self, squeezed: str) -> Iterator[tuple[Canary, str, _Run]]:
        """What the automaton finds, the pieces of one canary in one place put together."""
        open_runs: dict[tuple[Canary, str], _Run] = {}
        for last, (length, canary, how, (low, high)) in self._automaton.iter(squeezed):
            first, after = last + 1 - length, last + 1
            run = open_runs.get((canary, how))
            if run is not None and first <= run.after + GAP and how != "fact":
                run.after = max(run.after, after)
                run.low, run.high = min(run.low, low), max(run.high, high)
                continue
            if run is not None:
                yield canary, how, run
            open_runs[canary, how] = _Run(first, after, low, high)
        for (canary, how), run in open_runs.items():
            yield canary, how, run


class Stream:
    """Scans what one reader gets, message by message, and what only shows across them."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._tail = b""

    def feed(self, text: str | bytes) -> list[Hit]:
        """The hits in the next message, behind those that began before it (`split`)."""
        hits = self.detector.scan(text)
        return [*self.across(text, hits), *hits]

    def across(self, text: str | bytes, hits: Iterable[Hit]) -> list[Hit]:
        """As `feed`, for a message whose own `hits` are known: those that began before it."""
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        tail, self._tail = self._tail, (self._tail + data)[-REACH:]
        found = self.detector.scan(tail + data[:REACH]) if tail else []
        if not found:
            return []
        known = {hit.canary for hit in (*hits, *self.detector.scan(tail))}
        fresh = {hit.canary: hit for hit in found if hit.canary not in known}
        return [
            hit if hit.form == "fact" else msgspec.structs.replace(hit, how="split")
            for hit in fresh.values()
        ]


def _plainly(token: str, run: _Run, excerpt: str, raw: bytes) -> str:
    if run.high - run.low < LENGTH:
        return "partial"
    if excerpt != token:
        return "respelled" if len(squeeze(excerpt.encode())) >= LENGTH else "partial"
    if token.encode() in raw:
        return "verbatim"
    return "escaped" if b"\\u" in raw else "respelled"


def _short(excerpt: str) -> str:
    if len(excerpt) <= SHOWN:
        return excerpt
    return f"{excerpt[: SHOWN // 2]}{ELLIPSIS}{excerpt[-SHOWN // 2 :]}"
