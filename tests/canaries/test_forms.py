from __future__ import annotations

import json

import pytest

from proofrig.canaries.canary import mint
from proofrig.canaries.forms import ENOUGH, patterns, place, plain, squeeze, undone

TOKEN = mint(1, "acme").token


@pytest.mark.parametrize(
    ("text", "squeezed"),
    [
        ("a-B c_9", "ABC9"),
        ("oil OIL", "011011"),
        ("x\u200by\u00a0z\u2014w", "XYZW"),
        ("", ""),
    ],
)
def test_squeezing_leaves_letters_and_digits(text: str, squeezed: str) -> None:
    assert squeeze(text.encode()) == squeezed


def test_a_place_in_the_squeezed_text_is_found_in_the_text() -> None:
    data = ("--a \u200b b" * 50).encode()
    kept = [at for at, byte in enumerate(data) if bytes([byte]).isalnum()]
    assert [place(data, index) for index in range(len(squeeze(data)))] == kept


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"plain", "plain"),
        (rb"a\nb\tc", "a  b  c"),
        (rb"\u0041\u00e9", "A\u00e9"),
        (json.dumps(json.dumps("\n\u200b\u00e9A")).encode(), '"\\"  \u200b\u00e9A\\""'),
        ("\uff21\uff11 \U0001d400".encode(), "A1 A"),
        (json.dumps("\uff21\U0001d400").encode(), '"AA"'),
        (rb"\u00", "\ufffd"),
        (b"\xff\xfe\\u0041", "\ufffd\ufffdA"),
        (b"a\\", "a\\"),
    ],
)
def test_escapes_are_undone_and_letters_made_plain(data: bytes, read: str) -> None:
    assert plain(data).decode() == read


@pytest.mark.parametrize(
    ("data", "how", "part"),
    [
        (b"q=%41%42%43", "url", b"ABC"),
        (b"&#65;&#x42;&zwnj;C", "html", "AB\u200cC".encode()),
        (rb"\x41\x42", "escaped", b"AB"),
    ],
)
def test_what_is_dense_with_escapes_is_undone(data: bytes, how: str, part: bytes) -> None:
    ((told, start, text),) = undone(data)
    assert told == how and start >= 0 and part in text


@pytest.mark.parametrize("data", [b"100% of it", b"a%20b", b"R&amp;D", rb"C:\xray", b""])
def test_a_lone_escape_is_left(data: bytes) -> None:
    assert list(undone(data)) == []


def test_every_pattern_is_long_enough_not_to_come_by_chance() -> None:
    found = list(patterns(TOKEN))
    assert all(len(pattern) >= ENOUGH for pattern, _, _ in found)
    assert {how for _, how, _ in found} == {"plain", "reversed", "rot13", "hex", "base64"}
    assert {piece for _, _, piece in found} == {(n, n + ENOUGH) for n in range(11)}
