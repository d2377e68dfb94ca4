"""Requests as cassettes know them."""

from __future__ import annotations

import gzip

from msgspec.structs import replace

from cassette_tapes import TOKEN, call, chat
from proofrig.cassettes.asked import TOKEN_TAG, asked_of, channel_of


def test_the_token_is_taken_out_of_body_and_path() -> None:
    one = call(chat(f"call http://127.0.0.1/t/{TOKEN}/v1"), path=f"/t/{TOKEN}/x")
    asked = asked_of(one, "llm")
    assert TOKEN.encode() not in asked.body
    assert TOKEN_TAG.encode() in asked.body
    assert asked.path == f"/t/{TOKEN_TAG}/x"


def test_equal_requests_of_two_runs_have_one_raw() -> None:
    one = asked_of(call(chat(f"I am {TOKEN}")), "llm")
    other = asked_of(call(chat("I am other"), token="other"), "llm")
    assert one.raw() == other.raw()


def test_raw_covers_body_address_and_tool() -> None:
    asked = asked_of(call(chat("hi")), "llm")
    raws = {
        asked.raw(),
        replace(asked, body=b"x").raw(),
        replace(asked, path="/x").raw(),
        replace(asked, host="x").raw(),
        replace(asked, tool="x").raw(),
        replace(asked, name="mcp.ping").raw(),
        replace(asked, method="GET").raw(),
    }
    assert len(raws) == 7


def test_channels_and_child_scopes() -> None:
    assert channel_of(call(form="mcp")) == "mcp"
    assert channel_of(call(form="tool")) == "tool"
    assert channel_of(call(form="plain", surface="egress")) == "egress"
    assert channel_of(call(form="plain", surface="service")) is None
    assert asked_of(call(scope="a/b/c/run/helper/inner"), "llm").child == "helper/inner"
    assert asked_of(call(scope="a/b/c/run"), "llm").child == ""


def test_a_compressed_request_is_what_it_holds() -> None:
    headers = {"content-encoding": "gzip"}
    coded = [gzip.compress(TOKEN.encode() + b" hi", mtime=time) for time in (1, 2)]
    asked = [
        asked_of(call(body, form="plain", surface="egress", headers=headers), "egress")
        for body in coded
    ]
    assert asked[0].raw() == asked[1].raw()
    assert asked[0].body == TOKEN_TAG.encode() + b" hi"


def test_an_address_is_host_and_port_path_and_query() -> None:
    told = {"form": "plain", "surface": "egress", "host": "h.example", "path": "/x"}
    asked = asked_of(call(**told, port=8080, query=f"a=1&t={TOKEN}"), "egress")
    assert (asked.host, asked.path) == ("h.example:8080", f"/x?a=1&t={TOKEN_TAG}")
    assert asked_of(call(**told, port=443), "egress").host == "h.example"
