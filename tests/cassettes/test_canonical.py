"""Canonical forms: what makes two requests the same, and what does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cassette_tapes import asks, call, chat, result
from proofrig.cassettes.asked import asked_of, channel_of
from proofrig.cassettes.canonical import ID, Canonical, Canonicaliser, Settings
from proofrig.cassettes.redaction import Redactor
from proofrig.errors import UsageError

UUIDS = ("123e4567-e89b-12d3-a456-426614174000", "00000000-e89b-12d3-a456-426614174000")


def form(body: Any, settings: Settings | None = None, **more: Any) -> Canonical:
    made = Canonicaliser(settings or Settings(), Redactor(b"salt"))
    one = call(body, **more)
    channel = channel_of(one)
    assert channel is not None
    return made.form(asked_of(one, channel))


def same(one: Any, other: Any, settings: Settings | None = None, **more: Any) -> bool:
    return form(one, settings, **more).hash == form(other, settings, **more).hash


def test_ids_times_and_the_order_of_keys_do_not_matter() -> None:
    one = chat("hi at 2026-11-21T09:00:00Z", asks("call_1", q="x", n=1), result("call_1", "42"))
    other = {
        "messages": [
            {"content": "hi at 2027-01-01T10:10:10Z", "role": "user"},
            {
                "tool_calls": [
                    {
                        "function": {"arguments": '{ "n": 1, "q": "x" }', "name": "look"},
                        "type": "function",
                        "id": "other",
                    }
                ],
                "content": None,
                "role": "assistant",
            },
            {"content": "42", "tool_call_id": "other", "role": "tool"},
        ],
        "model": "m",
        "prompt_cache_key": "random",
        "metadata": {"user_id": "session-1"},
    }
    assert same(one | {"metadata": {}}, other)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"temperature": 0.5},
        {"stream": True},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"id": "x"}}}]},
        {"metadata": {"trace": "1"}},
    ],
)
def test_models_schemas_and_sampling_matter(change: dict[str, Any]) -> None:
    assert not same(chat("hi"), chat("hi") | change)


def test_which_ids_are_the_same_matters() -> None:
    one, two = UUIDS
    assert same(chat(f"copy {one} to {two}"), chat(f"copy {two} to {one}"))
    assert not same(chat(f"copy {one} to {two}"), chat(f"copy {one} to {one}"))


def test_ids_among_a_tools_arguments_matter() -> None:
    one, other = asks("c", id="A-7"), asks("c", id="A-8")
    assert not same(chat("hi", one), chat("hi", other))


def test_results_next_to_each_other_stand_in_the_order_of_their_calls() -> None:
    calls = {"role": "assistant", "tool_calls": [asks(i)["tool_calls"][0] for i in ("a", "b")]}
    results = [result("a", "1"), result("b", "2")]
    assert same(chat("hi", calls, *results), chat("hi", calls, *reversed(results)))
    swapped = [result("a", "2"), result("b", "1")]
    assert not same(chat("hi", calls, *results), chat("hi", calls, *swapped))


def test_results_inside_one_message_stand_in_the_order_of_their_calls() -> None:
    def request(*results: dict[str, Any]) -> dict[str, Any]:
        uses = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ("x", "y")]
        return chat(
            "hi",
            {"role": "assistant", "content": uses},
            {"role": "user", "content": [*results, {"type": "text", "text": "go on"}]},
        )

    one = {"type": "tool_result", "tool_use_id": "x", "content": "1"}
    two = {"type": "tool_result", "tool_use_id": "y", "content": "2"}
    assert same(request(one, two), request(two, one), form="messages")
    shown = form(request(two, one), form="messages").value()["messages"][2]
    assert [part.get("content") for part in shown["content"]] == ["1", "2", None]
    assert [part.get("tool_use_id") for part in shown["content"]] == ["#0", "#1", None]


def test_an_input_that_is_a_text_is_what_the_user_says() -> None:
    text = {"model": "m", "input": "hi"}
    listed = {"model": "m", "input": [{"role": "user", "content": "hi"}]}
    assert same(text, listed, form="responses")


def test_ignored_paths_and_own_rules() -> None:
    one = chat("order 17", metadata={"trace": "1", "kept": "x"})
    other = chat("order 18", metadata={"trace": "2", "kept": "x"})
    settings = Settings(ignore=("$.metadata.trace",), scrub={"order": r"\d\d"})
    assert same(one, other, settings)
    assert not same(one, other, Settings(ignore=("$.metadata.trace",)))
    assert not same(one, other, Settings(scrub={"order": r"\d\d"}))


@pytest.mark.parametrize(
    ("path", "equal"),
    [("$.messages[*].name", True), ("$.messages[0].name", True), ("$.messages[1].name", False)],
)
def test_ignored_paths_reach_into_messages(path: str, equal: bool) -> None:
    one, other = ({"role": "user", "content": "hi", "name": name} for name in ("a", "b"))
    assert same(chat(one), chat(other), Settings(ignore=(path,))) is equal


@pytest.mark.parametrize("path", ["metadata.trace", "$", "$.a..b", "$[0]", "$.a[x]"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="expected a JSON path"):
        Canonicaliser(Settings(ignore=(path,)), Redactor(b""))


def test_a_message_to_a_server_is_what_it_asks() -> None:
    def message(version: str, **params: Any) -> dict[str, Any]:
        return {"_meta": {"traceparent": version}, "clientInfo": {"version": version}, **params}

    assert same(message("1", q="x"), message("2", q="x"), form="mcp", name="mcp.tools/list")
    assert not same(message("1", q="x"), message("1", q="y"), form="mcp", name="mcp.tools/list")
    one, other = (form({}, form="mcp", name=f"mcp.{name}") for name in ("ping", "tools/list"))
    assert one.hash != other.hash
    assert not same({"_meta": 1}, {"_meta": 2}, form="mcp", tool="look")  # its own argument
    assert not same({"id": "A-7"}, {"id": "A-8"}, form="mcp", tool="look")


def test_bodies_that_are_no_json_are_compared_as_texts_or_bytes() -> None:
    assert same(b"at 2026-11-21T09:00:00Z", b"at 2026-11-22T09:00:00Z", form="plain")
    assert not same(b"one", b"two", form="plain")
    assert not same(b"\xff\x00", b"\xff\x01", form="plain")
    assert form(b"", form="plain").value() == ""


def test_address_and_child_scope_are_part_of_it() -> None:
    hashes = {
        form({}, form="plain", host="a.example", path="/x").hash,
        form({}, form="plain", host="b.example", path="/x").hash,
        form({}, form="plain", host="a.example", path="/y").hash,
        form({}, form="plain", host="a.example", path="/x", scope="a/b/c/d/child").hash,
    }
    assert len(hashes) == 4
    assert same({}, {}, form="plain", path="/x?key=one-key&q=1")


def test_secrets_are_not_in_a_form() -> None:
    shown = str(form(chat("use sk-1234567890abcdefghij")).value())
    assert "sk-1234" not in shown
    assert "[redacted:openai-key:" in shown


def test_a_chain_tells_a_common_beginning() -> None:
    one, longer = form(chat("hi")), form(chat("hi", asks("c"), result("c", "1")))
    assert longer.chain[:1] == one.chain
    assert longer.root == one.root
    assert form(chat("ho")).root != one.root


def test_what_a_request_continues_is_known() -> None:
    responses = {"input": "go on", "previous_response_id": "resp_1"}
    assert form(responses, form="responses").continues == "resp_1"
    thread = chat("go on", thread={"type": "continue", "previous_message_id": "msg_1"})
    assert form(thread, form="messages").continues == "msg_1"
    assert form(chat("hi")).continues == ""


def test_the_rules_that_applied_and_the_manifests_words() -> None:
    assert form(chat(f"{UUIDS[0]} at 2026-11-21T09:00:00Z")).rules == {"uuid", "timestamp"}
    settings = Settings(ignore=("$.seed",), scrub={"mine": "x+"})
    told = Canonicaliser(settings, Redactor(b"")).described()
    assert told["id"] == ID
    assert told["scrub"]["mine"] == "x+"
    assert told["ignore"] == ["$.seed"]
    assert "$.prompt_cache_key" in told["volatile"]
    msgspec.json.encode(told)


def test_a_conversation_that_is_none_is_still_compared() -> None:
    assert not same({"messages": "one"}, {"messages": "two"})
    assert not same({"messages": 7}, {"messages": 8})
    assert not same({"messages": [1]}, {"messages": [2]})


def test_a_number_is_one_number_however_it_is_written() -> None:
    assert same(chat("hi", temperature=1.0), chat("hi", temperature=1))
    assert same({"amount": 20.0}, {"amount": 20}, form="tool", tool="refund")
    assert not same(chat("hi", n=1), chat("hi", n=True))
    assert not same(chat("hi", n=1), chat("hi", n="1"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026-11-21T09:00:00Z", "2026-12-24T09:00:00Z"),
        ("Today is 2026-11-21", "Today is 2026-11-22"),
        ("took 3 ms", "took 4 ms"),
    ],
)
def test_a_time_that_a_tool_is_told_matters(one: str, other: str) -> None:
    assert not same({"at": one}, {"at": other}, form="tool", tool="book")
    assert not same(chat("hi", asks("c", at=one)), chat("hi", asks("c", at=other)))
    assert not same({"at": one}, {"at": other}, form="plain", surface="egress", host="h")


def test_a_stored_prompt_is_another_prompt() -> None:
    one, other = ({"model": "m", "input": "hi", "prompt": {"id": id}} for id in ("a", "b"))
    assert not same(one, other, form="responses")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":1e400,"messages":[]}',
        b'{"messages":[{"content":"\xff"}]}',
        b'{"messages":[' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"messages":[{"role":"user","content":"\\u00007\\u0000"}]}',
    ],
)
def test_what_cannot_be_read_is_compared_by_its_bytes(body: bytes) -> None:
    assert form(body).hash == form(body).hash != form(body + b" x").hash
    assert form(body).value()
