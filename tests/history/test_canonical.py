"""Histories without their clocks."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest

from builders import kept
from proofrig.history.action import Entry
from proofrig.history.canonical import CLOCK_FIELDS, canonical, without_clocks
from proofrig.wire.turn import ToolCall, Turn


class Told:
    """Entries of a run, written as they would be; `hurry` shifts what is timing."""

    def __init__(self, hurry: int = 0, segment: str = "rig-1") -> None:
        self.payloads: dict[str, bytes] = {}
        self.entries: list[Entry] = []
        self.hurry = hurry
        self.segment = segment
        self.numbers: dict[str, int] = {}

    def write(self, kind: Any, name: str, trial: str = "a:1", id: str = "", **attrs: Any) -> None:
        seq = len(self.entries)
        number = self.numbers.setdefault(id, len(self.numbers) + 1 + self.hurry)
        own = f"{self.segment}.{number}" if id else ""
        at = seq * (1000 + self.hurry)
        self.entries.append(Entry(seq, at, kind, name, trial, "acme", "s", own, attrs))

    def id(self, id: str) -> str:
        return f"{self.segment}.{self.numbers[id]}"

    def keep(self, value: Any) -> str:
        return kept(self.payloads, msgspec.json.encode(value))

    def model(self, id: str, messages: int, *calls: str, trial: str = "a:1") -> None:
        body = {"messages": ["m"] * messages}
        turn = Turn(
            "messages",
            "r1",
            tool_calls=tuple(ToolCall(call, "tool") for call in calls),
            created=1_700_000_000 + self.hurry,
        )
        self.write("reserve", "llm.messages", trial, id, request=self.keep(body))
        self.write("start", "llm.messages", trial, id)
        self.write(
            "commit", "llm.messages", trial, id, response=self.keep(turn), service_ns=self.hurry
        )

    def tool(self, id: str, asked_by: str, call: str, trial: str = "a:1") -> None:
        arguments = self.keep({"call": call})
        asked = self.id(asked_by) if asked_by else ""
        said = {"asked_by": asked, "call_id": call} if asked else {}
        self.write("reserve", "tool.t", trial, id, arguments=arguments, ahead=self.hurry, **said)
        self.write("commit", "tool.t", trial, id, actual={"ms": self.hurry, "bytes": 9})

    def lines(self) -> list[str]:
        return list(canonical(self.entries, self.payloads.get))

    def order(self) -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in self.lines()]
        return [(line["kind"], line["name"], line.get("id", "")) for line in lines]


def run(order: list[int], hurry: int = 0) -> Told:
    """A trial whose model asks for three tools, which come in this order."""
    told = Told(hurry, segment=f"rig-{1 + hurry}")
    told.write("note", "segment", "", pid=hurry)
    told.write("trial", "begin", seed=7)
    told.model("first", 1, "c0", "c1", "c2")
    for place in order:
        told.tool(f"t{place}", "first", f"c{place}")
    told.write("note", "tools_offered", server="b")
    told.write("note", "tools_offered", server="a")
    told.model("second", 5)
    told.write("trial", "end", duration_ns=hurry, answer=told.keep(42), failure="")
    return told


def test_it_does_not_depend_on_times_numbers_and_order_of_arrival() -> None:
    texts = {tuple(run(order, hurry).lines()) for order, hurry in (([0, 1, 2], 0), ([2, 0, 1], 5))}
    assert len(texts) == 1


def test_actions_stand_where_they_belong() -> None:
    assert run([1, 2, 0]).order() == [
        ("trial", "begin", ""),
        ("reserve", "llm.messages", "a:1#1"),
        ("start", "llm.messages", "a:1#1"),
        ("commit", "llm.messages", "a:1#1"),
        *((kind, "tool.t", f"a:1#{n}") for n in (2, 3, 4) for kind in ("reserve", "commit")),
        ("reserve", "llm.messages", "a:1#5"),
        ("start", "llm.messages", "a:1#5"),
        ("commit", "llm.messages", "a:1#5"),
        ("note", "tools_offered", ""),
        ("note", "tools_offered", ""),
        ("trial", "end", ""),
    ]
    calls = [line for line in run([1, 2, 0]).lines() if '"call_id"' in line]
    assert [json.loads(line)["attrs"]["call_id"] for line in calls] == ["c0", "c1", "c2"]
    assert {json.loads(line)["attrs"]["asked_by"] for line in calls} == {"a:1#1"}


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.write("note", "late"),
        lambda told: told.tool("more", "first", "c9"),
        lambda told: told.model("more", 9),
        lambda told: told.write("fault", "stall", id="t1", fault="stall", nth=1),
    ],
)
def test_what_is_no_clock_makes_a_difference(change: Any) -> None:
    changed = run([0, 1, 2])
    change(changed)
    assert changed.lines() != run([0, 1, 2]).lines()


def test_trials_come_in_the_order_of_their_ids_each_numbered_from_its_own_beginning() -> None:
    told = Told()
    for trial in ("b:1", "a:2", "a:1"):
        told.model(f"m{trial}", 1, trial=trial)
    lines = [json.loads(line) for line in told.lines()]
    assert [(line["trial"], line["seq"]) for line in lines] == [
        (trial, seq) for trial in ("a:1", "a:2", "b:1") for seq in range(3)
    ]
    assert {line["id"] for line in lines} == {"a:1#1", "a:2#1", "b:1#1"}


def test_what_no_model_asked_for_is_ordered_by_what_it_is() -> None:
    texts = set()
    for seed in range(5):
        told = Told()
        calls = ["x", "y", "y", "z"]
        Random(seed).shuffle(calls)
        for number, call in enumerate(calls):
            told.tool(f"t{number}", "", call)
        texts.add(tuple(told.lines()))
    assert len(texts) == 1


def test_an_operation_stands_after_the_call_that_it_is_part_of_in_its_programs_order() -> None:
    told = Told()
    told.model("m", 1, "c0", "c1")
    told.tool("late", "m", "c1")
    told.tool("soon", "m", "c0")
    for key in ("z", "a"):
        told.write("start", "kv.get", id=f"k{key}", key=key)
        told.entries[-1].attrs["parent"] = told.id("soon")
    ids = [line for line in map(json.loads, told.lines()) if line["kind"] in ("reserve", "start")]
    keys = [one["attrs"].get("key") or one["attrs"].get("call_id") for one in ids]
    assert keys == [None, None, "c0", "z", "a", "c1"]


def test_what_only_holds_for_one_run_is_named_in_texts() -> None:
    said = {
        "error": "cannot connect to http://127.0.0.1:41234/t/Zm9vYmFyYmF6cXV4MTIzNA/v1",
        "where": "runs/20260102-030405-desk-a1b2/trials: <Thing at 0x7f12ab34cd56>",
        "kept": ["127.0.0.1", "2026-01-02", 5, None, True],
        "ttl_ns": 5,
        "waited_ns": 5,
    }
    assert without_clocks(said) == {
        "error": "cannot connect to http://127.0.0.1:<port>/t/<token>/v1",
        "where": "runs/<run>-desk/trials: <Thing at <address>>",
        "kept": ["127.0.0.1", "2026-01-02", 5, None, True],
        "ttl_ns": 5,
    }


def test_payloads_keep_all_that_is_no_clock() -> None:
    told = Told()
    same, other = ({"remaining": 3, "t": 1, "created": 5}, {"remaining": 4, "t": 1, "created": 5})
    for value in (same, other):
        told.write("commit", "tool.t", id=str(value), result=told.keep(value))
    first, second = (json.loads(line)["attrs"]["result"] for line in told.lines())
    assert first != second


def test_payloads_that_are_gone_keep_their_digest() -> None:
    told = Told()
    told.write("commit", "tool.t", id="a", result="0" * 32)
    assert json.loads(told.lines()[0])["attrs"]["result"] == "0" * 32


def test_every_declared_clock_is_explained() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "reference" / "determinism.md").read_text()
    assert [name for name in sorted(CLOCK_FIELDS) if f"`{name}`" not in page] == []
