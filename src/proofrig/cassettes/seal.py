"""Seals: a cassette that was edited by hand is found out, and the field is named.

Rules:
1. Each line of `exchanges.jsonl` ends with the digest of all that stands before: one digest a line
   is all that loading costs.
2. `seals.jsonl` holds for each exchange short digests of its leaves, path and value apart. They are
   looked at only when a line's digest does not fit, to say which field was changed.
3. The manifest of a finished recording holds the digest of all seals, so that a line which was
   taken out or put in is found out as well.
4. This guards against accidents, not against forgers: whoever writes the lines can write the seals.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from proofrig.cassettes.leaves import leaves

_MARK = b',"seal":"'
_DIGITS = 16  # of a line's seal, in hex
_TAIL = len(_MARK) + _DIGITS + 2  # and `"}`
_PATH, _VALUE = 6, 6  # hex digits of a leaf's digests
_encode = msgspec.json.Encoder().encode


class LeafSeals(msgspec.Struct, frozen=True):
    """A line of `seals.jsonl`: an exchange's number, and the digests of its leaves in a row."""

    n: int
    leaves: str


def sealed(text: bytes) -> tuple[bytes, str]:
    """An object's JSON with its seal as the last field, and the seal."""
    seal = _digest(text, _DIGITS)
    return text[:-1] + _MARK + seal.encode() + b'"}', seal


def seal_of(line: bytes) -> str | None:
    """The seal of a line, or None when it has none or when it does not fit."""
    if line[-_TAIL : -_TAIL + len(_MARK)] != _MARK or not line.endswith(b'"}'):
        return None
    said = line[-_TAIL + len(_MARK) : -2]
    fits = _digest(line[:-_TAIL] + b"}", _DIGITS)
    return fits if said == fits.encode() else None


def chained(seals: Iterable[str]) -> str:
    """The digest of all seals, in the order of their lines."""
    return _digest("".join(seals).encode(), 32)


def leaf_seals(value: dict[str, Any]) -> str:
    """The digests of an exchange's leaves; `value` without its seal."""
    return "".join(_digests(path, leaf) for path, leaf in leaves(value))


def changed(value: dict[str, Any], kept: str) -> list[str]:
    """The paths of leaves that are not as they were sealed: changed, put in, or taken out (told by
    what stands before). Empty when only the writing differs: spaces, order."""
    size = _PATH + _VALUE
    was = [kept[at : at + size] for at in range(0, len(kept), size)]
    now = [(path, _digests(path, leaf)) for path, leaf in leaves(value)]
    left = Counter(was)
    found, strange = list[str](), Counter[str]()
    for path, digests in now:
        if left[digests] > 0:
            left[digests] -= 1
        else:
            found.append(path)
            strange[digests[:_PATH]] += 1
    paths = dict(zip((digests for _, digests in now), (path for path, _ in now), strict=True))
    before = ""
    for digests in was:
        if digests in paths:
            before = paths[digests]
        elif strange[digests[:_PATH]] > 0:  # the same path, with another value
            strange[digests[:_PATH]] -= 1
        elif not found:
            found.append(f"(a field after {before or 'the beginning'})")
    return found


def _digests(path: str, leaf: Any) -> str:
    return _path_digest(path) + _digest(_encode(leaf), _VALUE)


@lru_cache(1 << 14)
def _path_digest(path: str) -> str:
    return _digest(path.encode("utf-8", "replace"), _PATH)


def _digest(data: bytes, digits: int) -> str:
    return hashlib.blake2b(data, digest_size=digits // 2).hexdigest()
