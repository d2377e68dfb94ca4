"""Whatever is done to a canary, it is found; where none is, none is."""

from __future__ import annotations

import base64
import codecs
import itertools
import json
import re
from collections.abc import Callable
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.canaries.canary import ALPHABET, fill, mint, mint_fact
from proofrig.canaries.detect import Detector, Stream

TOKENS = [mint(11, f"t{n % 7}", f"n{n}") for n in range(40)]
FACTS = [mint_fact(11, f"t{n % 7}", f"n{n}") for n in range(20)]
DETECTOR = Detector([*TOKENS, *FACTS])

separators = st.text(
    st.sampled_from(" -_.:/|,;*#~\n\t\u200b\u200c\u2060\ufeff\u00ad\u00a0\u2014"), max_size=3
)
# Words around: nothing that continues an encoding.
around = st.sampled_from(["", "note: ", "the key is ", "\u00fcber ", '{"a": "b"} ', "x\n"])


def spelled(token: str, separator: str, every: int) -> str:
    return separator.join(token[n : n + every] for n in range(0, 20, every))


def in_base64(token: str, ahead: bytes, url: bool) -> str:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    return encode(ahead + token.encode() + ahead).decode()


spellings: st.SearchStrategy[Callable[[str], str]] = st.one_of(
    st.builds(
        lambda separator, every, lower: lambda token: spelled(
            token.lower() if lower else token, separator, every
        ),
        separators,
        st.integers(1, 20),
        st.booleans(),
    ),
    st.builds(
        lambda first, length: lambda token: token[first : first + length],
        st.integers(0, 10),
        st.integers(10, 20),
    ),
    st.builds(
        lambda at, other: lambda token: token[:at] + other + token[at + 1 :],
        st.integers(0, 19),
        st.sampled_from(ALPHABET + "?"),
    ),
    st.builds(lambda at: lambda token: token[:at] + token[at + 1 :], st.integers(0, 19)),
    st.builds(
        lambda at: lambda token: token[:at] + token[at + 1] + token[at] + token[at + 2 :],
        st.integers(0, 18),
    ),
    st.builds(
        lambda ahead, url: lambda token: in_base64(token, ahead, url),
        st.binary(max_size=7),
        st.booleans(),
    ),
    st.builds(
        lambda lower, sep: lambda token: (token.lower() if lower else token).encode().hex(*sep),
        st.booleans(),
        st.sampled_from([(), (":",), (" ",), ("-", 2)]),
    ),
    st.builds(
        lambda separator: lambda token: quote(separator.join(token), safe=""), separators
    ),
    st.builds(lambda separator: lambda token: json.dumps(separator.join(token)), separators),
    st.sampled_from(
        [
            lambda token: token[::-1],
            lambda token: codecs.encode(token, "rot13"),
            lambda token: "".join(f"\\u{ord(c):04x}" for c in token),
            lambda token: "".join(f"%{ord(c):02x}" for c in token),
            lambda token: "".join(f"&#{ord(c)};" for c in token),
            lambda token: "".join(chr(ord(c) + 0xFEE0) for c in token),
        ]
    ),
)  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(TOKENS), spellings, around, around)
def test_any_disguise_of_any_token_is_found(token, hide, before, after) -> None:  # type: ignore[no-untyped-def]
    hits = DETECTOR.scan(f"{before} {hide(token.token)} {after}")
    assert {hit.canary for hit in hits} == {token}


@settings(max_examples=100)
@given(st.sampled_from(TOKENS), st.lists(st.integers(1, 19), unique=True, max_size=6))
def test_a_token_cut_anywhere_is_found_over_its_messages(token, cuts) -> None:  # type: ignore[no-untyped-def]
    ends = [0, *sorted(cuts), 20]
    stream = Stream(DETECTOR)
    pieces = [token.token[a:b] for a, b in itertools.pairwise(ends)]
    hits = [hit for piece in ("so: ", *pieces, " ok") for hit in stream.feed(piece)]
    assert {hit.canary for hit in hits} == {token}


@settings(max_examples=100)
@given(
    st.sampled_from(FACTS),
    st.sampled_from(["{:d}", "{:,d}", "{:_d}", "{:d}.00", "${:,d}.0", "EUR {:d}-"]),
    st.sampled_from([str, str.upper, str.lower]),
    st.text("abc ,.\n", max_size=100),
    st.booleans(),
)
def test_a_fact_is_found_however_it_is_written(fact, form, case, between, turned) -> None:  # type: ignore[no-untyped-def]
    parts = [case(fact.entity), f" {between} ", form.format(fact.number)]
    hits = DETECTOR.scan("".join(reversed(parts) if turned else parts))
    assert [hit.canary for hit in hits] == [fact]


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)))
def test_a_text_without_canaries_has_none(text) -> None:  # type: ignore[no-untyped-def]
    assert DETECTOR.scan(text) == []


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([*" \\u%&;#x04AZ\n", "\\u00", "%4", "&#x", *"{}[]\"'"]), max_size=60)
)
def test_a_text_of_broken_escapes_is_read(pieces) -> None:  # type: ignore[no-untyped-def]
    token = TOKENS[0]
    text = "".join(pieces)
    assert DETECTOR.scan(text) == []
    assert {hit.canary for hit in DETECTOR.scan(f"{text} -- {token.token}")} == {token}


@settings(max_examples=150)
@given(st.text(st.sampled_from("{}canryft:.exi1 "), max_size=60))
def test_a_text_without_placeholders_is_filled_with_nothing(text) -> None:  # type: ignore[no-untyped-def]
    if not re.search(r"\{(canary|fact)[}:.]", text):
        assert fill(text, "acme", 1) == (text, [])
