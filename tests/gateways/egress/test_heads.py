"""Heads: what is read of them, and what passes."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from proofrig.errors import UsageError
from proofrig.gateways.egress.heads import (
    connect_head,
    head_bytes,
    passing,
    proxy_user,
    refusal,
    refusal_bytes,
    size_of,
)


def test_a_connect_is_read() -> None:
    said = connect_head(
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization:  Basic  a "
    )
    assert said.authority == "example.com:443"
    assert said.headers["host"] == "x"
    assert said.headers["proxy-authorization"] == "Basic  a"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"CONNECT  HTTP/1.1", "expected CONNECT"),
        (b"CONNECT a:1 HTTP/2.0", "expected CONNECT"),
        (b"CONNECT a:1", "expected CONNECT"),
        (b"CONNECT a:1 HTTP/1.1\r\nno colon", "expected a header"),
        (b"CONNECT a:1 HTTP/1.1\r\n folded: x", "expected a header"),
        (b"CONNECT " + b"a" * 400 + b":1 HTTP/1.1", "expected CONNECT"),
    ],
)
def test_what_is_no_connect_is_refused(head: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        connect_head(head)


def basic(text: str) -> dict[str, str]:
    return {"proxy-authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ({}, None),
        (basic("tok:x"), "tok"),
        (basic("tok"), "tok"),
        (basic(":x"), ""),
        ({"proxy-authorization": "Bearer tok"}, ""),
        ({"proxy-authorization": "Basic %%%"}, ""),
        ({"proxy-authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()}, ""),
    ],
)
def test_the_user_of_the_credentials(headers: dict[str, str], user: str | None) -> None:
    assert proxy_user(headers) == user


def test_what_is_the_proxys_business_ends_here() -> None:
    came = CIMultiDict(
        [
            ("Host", "a"),
            ("Proxy-Authorization", "Basic x"),
            ("Proxy-Connection", "keep-alive"),
            ("Connection", "keep-alive, X-Mine"),
            ("X-Mine", "1"),
            ("Authorization", "Bearer secret"),
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
            ("baggage", "proofrig.trial=tok,user=7"),
            ("x-proofrig-seed", "1"),
            ("Content-Length", "5"),
            ("Content-Encoding", "gzip"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
        ]
    )
    assert list(passing(came).items()) == [
        ("Authorization", "Bearer secret"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
        ("baggage", "user=7"),
        ("Content-Encoding", "gzip"),
    ]


def test_baggage_of_proofrig_alone_goes_and_stays_for_the_rig() -> None:
    came = CIMultiDict({"baggage": "proofrig.trial=tok"})
    assert dict(passing(came)) == {}
    assert dict(passing(came, ours=True)) == {"baggage": "proofrig.trial=tok"}


def test_a_refusal_shows_in_reason_header_and_body() -> None:
    answer = refusal(403, "not_allowed", "proofrig: no.")
    assert answer.reason == "proofrig refused this request: not_allowed"
    assert answer.headers["x-proofrig-blocked"] == "not_allowed"
    assert answer.text == "proofrig: no.\n"
    head, _, body = refusal_bytes(407, "unattributed", "who?", {"a": "b"}).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 407 proofrig refused this request: unattributed",
        b"x-proofrig-blocked: unattributed",
        b"content-type: text/plain; charset=utf-8",
        b"content-length: 5",
        b"connection: close",
        b"a: b",
    ]
    assert body == b"who?\n"


def test_a_head_is_written_and_counted() -> None:
    headers = {"a": "b", "content-length": "0"}
    written = head_bytes(429, "", headers)
    assert written == b"HTTP/1.1 429 Too Many Requests\r\na: b\r\ncontent-length: 0\r\n\r\n"
    assert size_of("HTTP/1.1 429 Too Many Requests", headers) == len(written)
    assert head_bytes(799, "", {}) == b"HTTP/1.1 799 \r\n\r\n"
