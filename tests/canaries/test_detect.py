"""Every disguise of the guide, one row each; and what is no canary."""

from __future__ import annotations

import base64
import codecs
import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from proofrig.canaries.canary import Canary, mint, mint_fact
from proofrig.canaries.detect import Detector, Hit, Stream

TOKENS = [mint(3, f"t{n % 5}", f"n{n}") for n in range(60)]
FACTS = [mint_fact(3, f"t{n % 5}", f"n{n}") for n in range(20)]
DETECTOR = Detector([*TOKENS, *FACTS])
FACT = Canary("acme", "fact", entity="Drovanex Tashimon", number=48213)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def encoded(text: str, ahead: int) -> str:
    return base64.b64encode(b"x" * ahead + text.encode() + b"...").decode()


DISGUISES: dict[str, tuple[str, Callable[[str], str]]] = {
    "verbatim": ("verbatim", str),
    "lower case": ("respelled", str.lower),
    "in groups": ("respelled", lambda t: "-".join(t[n : n + 4] for n in range(0, 20, 4))),
    "spelled": ("respelled", " ".join),
    "one a line": ("respelled", "\n".join),
    "one a line, in JSON": ("respelled", lambda t: json.dumps("\n".join(t))),
    "in JSON in JSON": ("respelled", lambda t: json.dumps(json.dumps("\n".join(t)))),
    "zero width": ("respelled", "\u200b".join),
    "zero width, escaped": ("respelled", lambda t: json.dumps("\u200b".join(t))),
    "full width": ("respelled", full_width),
    "full width, escaped": ("escaped", lambda t: json.dumps(full_width(t))),
    "unicode escapes": ("escaped", escaped),
    "base64": ("base64", lambda t: encoded(t, 0)),
    "base64 at 1": ("base64", lambda t: encoded(t, 1)),
    "base64 at 2": ("base64", lambda t: encoded(t, 2)),
    "base64url": ("base64", lambda t: base64.urlsafe_b64encode(b"\xff\xfe" + t.encode()).decode()),
    "base64, lower case": ("base64", lambda t: encoded(t.lower(), 1)),
    "base64 in lines": ("base64", lambda t: base64.encodebytes(b"y" * 50 + t.encode()).decode()),
    "hex": ("hex", lambda t: t.encode().hex()),
    "hex with colons": ("hex", lambda t: t.encode().hex(":")),
    "hex escapes": ("escaped", lambda t: "".join(f"\\x{ord(c):02x}" for c in t)),
    "URL": ("url", lambda t: "".join(f"%{ord(c):02X}" for c in t)),
    "URL of the spelled": ("url", lambda t: quote(" ".join(t))),
    "HTML": ("html", lambda t: "".join(f"&#{ord(c)};" for c in t)),
    "HTML in hex": ("html", lambda t: "".join(f"&#x{ord(c):x};" for c in t)),
    "HTML, zero width": ("html", "&zwnj;".join),
    "reversed": ("reversed", lambda t: t[::-1]),
    "rot13": ("rot13", lambda t: codecs.encode(t, "rot13")),
    "first half": ("partial", lambda t: t[:10]),
    "second half": ("partial", lambda t: t[10:]),
    "middle": ("partial", lambda t: t[4:16]),
    "two pieces": ("partial", lambda t: f"{t[:9]}\n...and later...\n{t[9:]}"),
    "a letter off": ("partial", lambda t: f"{t[:9]}?{t[10:]}"),
    "a letter left out": ("partial", lambda t: t[:10] + t[11:]),
    "the middle swapped": ("partial", lambda t: t[:9] + t[10] + t[9] + t[11:]),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_token_is_found_in_every_disguise(disguise: str) -> None:
    how, hide = DISGUISES[disguise]
    for token in TOKENS:
        text = f"The note says {hide(token.token)} as of today, per the ledger."
        hits = DETECTOR.scan(text)
        assert {hit.canary for hit in hits} == {token}, text
        hows = {hit.how for hit in hits}
        assert how in hows or (how == "partial" and hows == {"respelled"}), hows


@pytest.mark.parametrize("disguise", DISGUISES)
def test_bytes_are_read_as_text_is(disguise: str) -> None:
    text = f"{{{DISGUISES[disguise][1](TOKENS[0].token)}}}"
    assert DETECTOR.scan(text.encode()) == DETECTOR.scan(text)


def test_a_hit_says_where_and_shows_no_more_than_what_proves_it() -> None:
    token = TOKENS[0]
    (hit,) = DETECTOR.scan(f"secret: {token.token[:10]}-{token.token[10:]}, password hunter2")
    wanted = f"{token.token[:10]}-{token.token[10:]}"
    assert hit == Hit(token, "token", "respelled", wanted, 8)


def test_what_stands_between_a_name_and_its_number_is_not_shown() -> None:
    (hit,) = Detector([FACT]).scan("48,213 is what, says hunter2, DROVANEX tashimon owes")
    assert hit.excerpt == "48,213 \u2026 DROVANEX tashimon" and hit.start == 0


def test_hits_stand_in_the_order_of_the_text() -> None:
    first, second = TOKENS[3], TOKENS[1]
    text = f"{first.token} then {second.token} then {first.token}"
    assert [hit.canary for hit in DETECTOR.scan(text)] == [first, second, first]


@pytest.mark.parametrize(
    "text",
    [
        "Drovanex Tashimon owes 48213",
        "48,213 for DROVANEX TASHIMON",
        "drovanex_tashimon: 48 213.00",
        '{"who": "Drovanex Tashimon", "amount": 48213.0}',
        "Drovanex\nTashimon paid $48'213",
        "Drovanex Tashimon \u2014 48\u00a0213 euro",
        html.escape("<b>Drovanex Tashimon</b> 48213"),
    ],
)
def test_a_fact_is_a_name_near_its_number(text: str) -> None:
    (hit,) = Detector([FACT]).scan(text)
    assert (hit.canary, hit.form, hit.how) == (FACT, "fact", "fact")
    assert "213" in hit.excerpt and "ashimon" in hit.excerpt.lower()


@pytest.mark.parametrize(
    "text",
    [
        "Drovanex Tashimon",
        "48213",
        "Drovanex Tashimon owes 48214",
        "Drovanex Tashimon owes 148213",
        "Drovanex Tashimon owes 482131",
        "Drovanex owes 48213",
        "Drovanex Tashimon" + " and so on" * 40 + " 48213",
    ],
)
def test_a_name_or_a_number_alone_is_no_fact(text: str) -> None:
    assert Detector([FACT]).scan(text) == []


@pytest.mark.parametrize(
    "text", ["", "A" * 40, "0" * 40, TOKENS[0].token[:9], "%41" * 3, "\\u", "&"]
)
def test_what_is_no_canary_is_not_found(text: str) -> None:
    assert DETECTOR.scan(text) == []


def test_nothing_is_found_in_the_sources_of_this_project() -> None:
    files = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
    assert len(files) > 50
    assert [hit for file in files for hit in DETECTOR.scan(file.read_bytes())] == []


def test_a_detector_of_nothing_finds_nothing() -> None:
    assert Detector(()).scan(TOKENS[0].token) == []


@pytest.mark.parametrize("size", [3, 5, 7, 9, 12])
def test_a_stream_finds_what_is_split_over_messages(size: int) -> None:
    token, stream = TOKENS[0].token, Stream(DETECTOR)
    text = f"the key is {token} and no other"
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    found = [hit for piece in pieces for hit in stream.feed(piece)]
    assert {hit.canary for hit in found} == {TOKENS[0]}
    assert [hit.how for hit in found].count("split") <= 1, "told once"


def test_a_stream_tells_a_whole_token_once() -> None:
    stream = Stream(DETECTOR)
    hits = [stream.feed(text) for text in ("a", TOKENS[0].token, "b", "c")]
    assert [[hit.how for hit in found] for found in hits] == [[], ["verbatim"], [], []]


def test_a_stream_finds_a_fact_told_in_two_messages() -> None:
    stream = Stream(Detector([FACT]))
    assert stream.feed("It is Drovanex Tashimon.") == []
    assert [hit.how for hit in stream.feed("They owe 48,213.")] == ["fact"]
