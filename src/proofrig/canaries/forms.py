"""What a canary looks like once it was disguised, and how a text is made plain before the search.

Rules:
1. A text is searched as its letters and digits alone, in capitals, O as 0 and I and L as 1: case,
   spaces, separators, zero-width characters and line breaks are gone, and with them the bytes
   that tell base64 from base64url.
2. An encoding that maps pieces to pieces (hex, base64, rot13, reversal) is a form of the canary,
   searched as it stands: nothing is decoded. Half a token (10 in a row) is enough.
3. An escape stands among plain text, so it is undone: JSON's everywhere, the others where at least
   two stand close together.
4. Every step works on whole texts in C; no loop over characters.
"""

from __future__ import annotations

import codecs
import html
import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from proofrig.canaries.canary import LENGTH, Canary

ENOUGH = LENGTH // 2  # characters in a row that make a hit

_UPPER = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FOLD = _UPPER.translate(bytes.maketrans(b"OIL", b"011"))
_KEPT = re.compile(rb"[^0-9A-Za-z]")
_DROPPED = bytes(c for c in range(256) if _KEPT.match(bytes([c])))

# Characters that are letters or digits in disguise: full width, mathematical, circled.
_WIDE = re.compile(rb"\xef[\xbc\xbd]|\xf0\x9d|\xe2[\x91-\x93]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NEWLINES = (b"\\n", b"\\r", b"\\t")

Piece = tuple[int, int]  # of the token: the first character and the one after the last


def squeeze(data: bytes) -> str:
    """Letters and digits alone, folded (rule 1)."""
    return data.translate(_FOLD, _DROPPED).decode("ascii")


def place(data: bytes, index: int) -> int:
    """Where in `data` the character at `index` of its squeezed form stands."""
    low, high, before = 0, len(data), 0
    while high - low > 1:
        middle = (low + high) // 2
        kept = before + len(data[low:middle].translate(None, _DROPPED))
        if kept <= index:
            low, before = middle, kept
        else:
            high = middle
    return low


def patterns(token: str) -> Iterator[tuple[str, str, Piece]]:
    """Every squeezed text that gives a token away: (pattern, how, piece of the token)."""
    middle = LENGTH // 2
    swapped = token[: middle - 1] + token[middle] + token[middle - 1] + token[middle + 1 :]
    rotated = codecs.encode(token, "rot13")
    for first in range(LENGTH - ENOUGH + 1):
        piece = (first, first + ENOUGH)
        here = slice(*piece)
        yield token[here], "plain", piece
        yield squeeze(token[here][::-1].encode()), "reversed", piece
        yield squeeze(rotated[here].encode()), "rot13", piece
        yield swapped[here], "plain", piece  # the one slip that leaves no ten in a row
        for spelt in (token[here].encode(), token[here].lower().encode()):
            yield spelt.hex().upper(), "hex", piece
            for ahead in range(3):
                yield squeeze(_base64(spelt, ahead)), "base64", piece


def _base64(data: bytes, ahead: int) -> bytes:
    """The characters of base64 that `data` settles alone when `ahead` bytes (mod 3) precede it."""
    encoded = b64encode(bytes(ahead) + data)
    return encoded[-(-8 * ahead // 6) : 8 * (ahead + len(data)) // 6]


def number_near(canary: Canary) -> re.Pattern[bytes]:
    """Finds a fact's number, its digits grouped or not, with decimals or without."""
    gap = rb"(?:[,.'_ ]|\xc2\xa0|\xe2\x80[\x89\xaf])?"
    digits = gap.join(b"%c" % digit for digit in str(canary.number).encode())
    return re.compile(rb"(?<!\d)" + digits + rb"(?!\d)")


def plain(data: bytes) -> bytes:
    """`data` with JSON's escapes undone, nested ones too, and letters in disguise made plain."""
    if b"\\" in data:
        for _ in range(3):  # a tool's result, in a message, in a request
            if b"\\\\" not in data:
                break
            data = data.replace(b"\\\\", b"\\")
        if b"\\u" in data:
            data = _unescape(data)
        for newline in _NEWLINES:
            data = data.replace(newline, b"  ")
    if not data.isascii() and _WIDE.search(data):
        data = unicodedata.normalize("NFKC", data.decode("utf-8", "replace")).encode()
    return data


def _unescape(data: bytes) -> bytes:
    if not data.isascii():
        data = data.decode("utf-8", "replace").encode("raw_unicode_escape")
    text = data.decode("raw_unicode_escape", "replace")
    if _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.encode()


def _entities(data: bytes) -> bytes:
    return html.unescape(data.decode("utf-8", "replace")).encode("utf-8", "replace")


def _hex_escapes(data: bytes) -> bytes:
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), data)


def _dense(escape: bytes) -> re.Pattern[bytes]:
    """Two escapes or more, close together. The first is written out, for then the search runs from
    mark to mark and not from byte to byte."""
    return re.compile(rb"%s(?:%s)+" % (escape, escape))


# how, what must be in the text, where at least two stand close together, how it is undone
_DENSE: tuple[tuple[str, bytes, re.Pattern[bytes], Callable[[bytes], bytes]], ...] = (
    ("url", b"%", _dense(rb"%[0-9A-Fa-f]{2}[^%\s]{0,12}"), unquote_to_bytes),
    (
        "html",
        b"&",
        _dense(rb"&(?:#\d{2,7}|#[xX][0-9A-Fa-f]{2,6}|\w{2,8});[^&<>\s]{0,12}"),
        _entities,
    ),
    ("escaped", b"\\x", _dense(rb"\\x[0-9A-Fa-f]{2}[^\\\s]{0,12}"), _hex_escapes),
)
_BEFORE = 12  # bytes ahead of the first escape that may belong to it


def undone(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """The parts of a plain text that are dense with escapes: (how, where, undone)."""
    for how, mark, dense, undo in _DENSE:
        if mark in data:
            for found in dense.finditer(data):
                start = max(0, found.start() - _BEFORE)
                yield how, start, plain(undo(data[start : found.end()]))
