"""Secrets become tags, wherever they stand; only listed headers are kept."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re

import pytest

from proofrig.cassettes.redaction import Edit, Redactor, applied, resized

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc+/=\nxyz\n-----END RSA PRIVATE KEY-----"
KEYS = {
    "anthropic-key": "sk-ant-api03-abcdefghij-123456",
    "openai-key": "sk-proj-abcdEFGH1234_5678-xyz",
    "github-token": "ghp_abcdefghijklmnopqrst1234",
    "gitlab-token": "glpat-abcdefghij0123456789",
    "aws-key": "AKIAABCDEFGHIJKLMNOP",
    "slack-token": "xoxb-1234567890-abcdef",
    "google-key": "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "stripe-key": "sk_live_abcdefghij0123456789",
    "hugging-face-token": "hf_abcdefghijklmnopqrstuvwxyzABCDEF",
    "npm-token": "npm_abcdefghijklmnopqrstuvwxyzABCDEF",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
    "private-key": PEM,
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("around", ["key: {} and on", "line\n{}\nline", '{{"k": "{}"}}', "{}"])
def test_a_known_kind_of_key_becomes_a_tag(kind: str, around: str) -> None:
    redactor = Redactor(b"salt")
    for body in (around.format(KEYS[kind]), json.dumps(around.format(KEYS[kind]))):
        clean = redactor.body(body.encode()).decode()
        assert f"[redacted:{kind}:" in clean
        assert KEYS[kind][-12:] not in clean
    assert redactor.counts[kind] == 2


def test_a_tag_is_the_same_for_the_same_secret_under_one_salt() -> None:
    one, other = Redactor(b"salt"), Redactor(b"pepper")
    text = f"{KEYS['openai-key']} {KEYS['openai-key']} sk-another1234567890abc"
    tags = one.text(text).split(" ")
    assert tags[0] == tags[1] != tags[2]
    assert one.text(text) == Redactor(b"salt").text(text) != other.text(text)


def test_a_key_has_one_tag_as_text_and_in_json() -> None:
    redactor = Redactor(b"salt", {"PASSWORD": 'pa"ss/wört\n'})
    for secret in (PEM, 'pa"ss/wört\n'):
        text = redactor.text(secret)
        assert text.startswith("[redacted:")
        for body in (json.dumps(secret), json.dumps(json.dumps(secret))):
            assert text in redactor.body(body.encode()).decode()


def test_named_secrets_are_taken_out_in_every_writing() -> None:
    redactor = Redactor(b"salt", {"DB_PASSWORD": "s3cret/&word", "SHORT": "abc"})
    clean = redactor.body(b"s3cret/&word s3cret%2F%26word abc").decode()
    assert "cret" not in clean
    assert clean.count("[redacted:env-DB_PASSWORD:") == 2
    assert clean.endswith(" abc")


def test_the_trials_token_has_one_tag_in_every_run() -> None:
    one = Redactor(b"salt").body(b"/t/token-1234/v1", "token-1234")
    assert one == Redactor(b"salt").body(b"/t/other-9876/v1", "other-9876")
    assert one == b"/t/[redacted:trial-token]/v1"


@pytest.mark.parametrize(
    "text",
    ["a risk-assessment-of-the-year", "sk-learn-is-a-library-name", "ghost and rights", "xoxo"],
)
def test_words_are_no_keys(text: str) -> None:
    assert Redactor(b"salt").text(text) == text


def test_done_twice_is_done_once() -> None:
    redactor = Redactor(b"salt", {"NAME": "a-named-secret"})
    once = redactor.body("\n".join([*KEYS.values(), "a-named-secret"]).encode())
    assert redactor.body(once) == once


def test_paths_lose_keys_in_their_query() -> None:
    redactor = Redactor(b"salt")
    path = redactor.path("/v1/x?q=1&api_key=short&page=2")
    assert path.startswith("/v1/x?q=1&api_key=[redacted:query:")
    assert path.endswith("]&page=2")
    assert redactor.path(path) == path
    for name in ("token", "X-Amz-Signature", "refresh_token", "client_secret", "sig", "code"):
        assert "hidden-one" not in redactor.path(f"https://h.example/x?a=1&{name}=hidden-one")
    assert redactor.path("/x?monkey_business=1&keyword=a") == "/x?monkey_business=1&keyword=a"


def test_only_listed_headers_are_kept() -> None:
    redactor = Redactor(b"salt")
    kept = redactor.headers(
        {
            "Content-Type": "text/plain",
            "Set-Cookie": "session=1",
            "X-RateLimit-Remaining": "7",
            "Location": f"/x/{KEYS['openai-key']}",
            "Date": "today",
        }
    )
    assert sorted(kept) == ["content-type", "location", "x-ratelimit-remaining"]
    assert "[redacted:openai-key:" in kept["location"]
    assert redactor.counts["headers"] == 1
    again = redactor.headers({"location": "https://h.example/cb?access_token=any-thing"})
    assert "any-thing" not in again["location"]


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_named_secrets_and_tokens_are_found_in_base64(before: str) -> None:
    redactor = Redactor(b"salt", {"NAME": "a?named>secret-value"})
    for secret in ("a?named>secret-value", "token-of-the-trial"):
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            coded = encode(f"{before}{secret}:x".encode())
            clean = redactor.body(b"Basic " + coded, "token-of-the-trial")
            left = re.sub(rb"\[redacted:[^]]*\]", b"", clean)
            assert len(left) <= len(b"Basic ") + len(coded) - len(secret) * 4 // 3 + 3


def test_a_compressed_body_is_searched() -> None:
    redactor = Redactor(b"salt")
    secret = KEYS["openai-key"].encode()
    assert redactor.unpacked(gzip.compress(secret), "gzip") == secret
    assert redactor.unpacked(gzip.compress(secret + os.urandom(99))[:-20], "gzip")
    assert redactor.unpacked(gzip.compress(b"nothing"), "gzip") is None
    assert redactor.counts["unread"] == 0
    assert redactor.unpacked(b"?", "br") is None
    assert redactor.unpacked(b"?", "gzip") is None
    assert redactor.counts["unread"] == 2


@pytest.mark.parametrize(
    ("sizes", "new"),
    [
        ([10], [8]),
        ([2, 8], [2, 6]),
        ([4, 6], [5, 3]),
        ([4, 1, 5], [5, 0, 3]),
        ([7, 3], [5, 3]),
        ([1] * 10, [1, 1, 3, 0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_borders_of_chunks_move_with_the_text(sizes: list[int], new: list[int]) -> None:
    edits = [Edit(2, 7, b"abc", "")]
    assert resized(sizes, edits) == new
    assert applied(b"0123456789", edits) == b"01abc789"
