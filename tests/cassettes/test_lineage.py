"""Whose conversation a request belongs to."""

from __future__ import annotations

from typing import Any

from cassette_tapes import asks, call, chat, result
from proofrig.cassettes.asked import asked_of, channel_of
from proofrig.cassettes.canonical import Canonical, Canonicaliser, Settings
from proofrig.cassettes.lineage import Lineages, Place, name_of
from proofrig.cassettes.redaction import Redactor

MADE = Canonicaliser(Settings(), Redactor(b"salt"))


def form(body: Any, **more: Any) -> Canonical:
    one = call(body, **more)
    channel = channel_of(one)
    assert channel is not None
    return MADE.form(asked_of(one, channel))


def test_a_conversation_that_grows_is_one_lineage() -> None:
    said: list[Any] = ["hi"]
    lineages, places = Lineages(), []
    for turn in range(3):
        places.append(lineages.place(form(chat(*said))))
        said += [asks(f"c{turn}"), result(f"c{turn}", "ok")]
    name = name_of(form(chat("hi")))
    assert places == [Place(name, 0), Place(name, 1), Place(name, 2)]
    assert lineages.turns(name) == 3


def test_branches_that_begin_alike_are_told_apart() -> None:
    lineages = Lineages()
    one, two = (lineages.place(form(chat("hi"))).lineage for _ in range(2))
    further = form(chat("hi", asks("c"), result("c", "1")))
    places = [lineages.place(further) for _ in range(2)]
    assert two == f"{one}.1"
    assert {place.lineage for place in places} == {one, two}
    assert [place.turn for place in places] == [1, 1]


def test_system_and_first_words_begin_a_lineage() -> None:
    names = {
        name_of(form(chat("hi"))),
        name_of(form(chat("ho"))),
        name_of(form(chat({"role": "system", "content": "s"}, "hi"))),
        name_of(form(chat("hi", system="s"), form="messages")),
        name_of(form(chat("hi", system="t"), form="messages")),
        name_of(form(chat("hi"), scope="a/b/c/run/child")),
    }
    assert len(names) == 6


def test_a_request_that_names_a_reply_goes_on_from_it() -> None:
    lineages = Lineages()
    replies = {"one": b'{"id":"resp_aaaa"}', "two": b'{"id":"resp_bbbb"}'}
    names = {}
    for word, reply in replies.items():
        names[word] = lineages.place(form({"input": word}, form="responses")).lineage
        lineages.replied(names[word], reply)
    further = {"input": "go on", "previous_response_id": "resp_bbbb"}
    assert lineages.place(form(further, form="responses")) == Place(names["two"], 1)
    branch = lineages.place(form(further, form="responses"))
    assert branch.lineage not in names.values()


def test_an_id_in_a_stream_is_found() -> None:
    lineages = Lineages()
    first = lineages.place(form({"input": "hi"}, form="responses")).lineage
    lineages.replied(first, b'data: {"response":{"id":"resp_cccc"}}\n\n')
    further = {"input": "go on", "previous_response_id": "resp_cccc"}
    assert lineages.of(form(further, form="responses")) == first


def test_tools_have_a_lineage_each() -> None:
    lineages = Lineages()
    places = [
        lineages.place(form({"q": n}, form="tool", tool=tool))
        for n, tool in enumerate(("look", "pay", "look"))
    ]
    assert places[0].lineage == places[2].lineage != places[1].lineage
    assert [place.turn for place in places] == [0, 0, 1]


def test_names_that_are_taken_are_not_given_again() -> None:
    name = name_of(form(chat("hi")))
    lineages = Lineages([name, f"{name}.1"])
    assert lineages.place(form(chat("hi"))).lineage == f"{name}.2"
