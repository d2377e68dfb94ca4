"""Bodies come back byte for byte, and stand in the line as readably as that allows."""

from __future__ import annotations

import json

import pytest

from proofrig.cassettes.exchange import BIG, opened, written

VALUE = {"a": [1, {"b": []}, {}], "c": "é \u2028", "d": 1.5}

BODIES = [
    (b'{"a":1}', "json"),
    (b'{ "a" : 1.0, "a":2}', "json"),
    (json.dumps(VALUE).encode(), "json"),
    (json.dumps(VALUE, indent=2).encode(), "json-2"),
    (json.dumps(VALUE, indent=2, ensure_ascii=False).encode() + b"\n", "json-2-nl"),
    (json.dumps(VALUE, indent=4).encode() + b"\n", "json-4-nl"),
    (b'{\n "a": 1}', "text"),
    (b' {"a":1}', "text"),
    (b'{"a":"\\ud800"}', "text"),
    (b"[1e999]", "text"),
    (b"data: {}\n\n", "text"),
    (b"", "text"),
    (b"\xff\x00", "base64"),
    (b'"only text"', "json"),
]


@pytest.mark.parametrize(("body", "form"), BODIES, ids=[form for _, form in BODIES])
def test_a_body_comes_back_byte_for_byte(body: bytes, form: str) -> None:
    said, value, blob = written(body)
    assert (said, blob) == (form, None)
    assert b"\n" not in bytes(value)
    assert opened(said, value, {}) == body


def test_a_big_body_gets_a_file() -> None:
    body = b"x" * (BIG + 1)
    form, value, blob = written(body)
    name = json.loads(bytes(value))
    assert (form, blob) == ("blob", body)
    assert opened(form, value, {name: body}) == body
    with pytest.raises(ValueError, match=f"blobs/{name} is missing"):
        opened(form, value, {})


def test_a_request_is_kept_readable_rather_than_exact() -> None:
    form, value, _ = written(b'{\n "a": 1,\n "b": [1, 2]}', exact=False)
    assert (form, bytes(value)) == ("json", b'{"a":1,"b":[1,2]}')


def test_what_no_body_can_be_is_said() -> None:
    _, value, _ = written(b'{"a":1}')
    with pytest.raises(ValueError, match="expected a text"):
        opened("text", value, {})
    _, text, _ = written(b"no base64 at all")
    with pytest.raises(ValueError, match="expected base64"):
        opened("base64", text, {})
