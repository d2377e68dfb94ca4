"""An action in, what it is to a reader out."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.history.action import Action, Entry
from proofrig.reports.actions import KINDS, about, kind_of, limited, noted, wait_of


def action(name: str, start: dict[str, Any], commit: dict[str, Any]) -> Action:
    parts = {"trial": "a:1", "id": "1"}
    return Action(
        *("1", name, "a:1", "acme", ""),
        start=Entry(0, 1, "start", name, attrs=start, **parts),
        end=Entry(1, 2, "commit", name, attrs=commit, **parts),
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("llm.messages", "llm"), ("kv.cas", "kv"), ("pool.request", "pool"), ("mcp.ping", "other")],
)
def test_the_first_part_of_a_name_is_its_kind(name: str, kind: str) -> None:
    assert KINDS[kind_of(name)] == kind


def test_waits_have_three_names_and_429_is_a_refusal() -> None:
    assert [
        wait_of(attrs) for attrs in ({"queue_ns": 3}, {"waited_ns": 4}, {"wait_ns": 5}, {})
    ] == [*(3, 4, 5, 0)]
    assert limited({"status": 429}) and not limited({"status": 503})


def test_what_a_shared_action_touched_is_said_on_a_line() -> None:
    put = action("kv.put", {"service": "memory", "key": "stock/12", "value": "4"}, {"version": 8})
    assert about(put) == "memory · key stock/12 · value 4 · version 8"
    hit = {"hit": True, "owner": "acme", "similarity": 0.97}
    assert about(action("cache.get", {"key": "q"}, hit)) == (
        "key q · owner acme · similarity 0.97 · hit"
    )
    assert about(action("cache.get", {"key": "q"}, {"hit": False})) == "key q · miss"
    assert about(action("kv.get", {"key": "q"}, {"value": None})) == "key q · value absent"
    refused = {"level": 0, "capacity": 9, "retry_after_ns": 10**9}
    assert about(action("quota.take", {}, refused)) == "left 0 · of 9 · retry after 1.00 s"
    assert about(action("tool.lookup", {"key": "q"}, {})) == ""


def test_a_call_of_another_host_says_which_and_how_many_bytes() -> None:
    asked = {
        "host": "shop.example",
        "port": 443,
        "method": "GET",
        "path": "/price",
        "seen": "plain",
    }
    passed = {"bytes_up": 105, "bytes_down": 19_895}
    said = "GET shop.example/price · plain · 105 bytes up, 19,895 down"
    assert about(action("egress.get", asked, passed)) == said
    cut = about(action("egress.get", asked | {"port": 8080}, passed | {"blocked": "byte_cap"}))
    assert cut.startswith("GET shop.example:8080/price") and cut.endswith(
        "`egress.max_bytes` used up"
    )


def test_notes_that_belong_among_the_actions_are_said_and_no_others() -> None:
    kill = Entry(0, 1, "note", "kill", "a:1", attrs={"point": "after_write"})
    assert noted(kill) == "killed at after write"
    assert noted(Entry(0, 1, "note", "accepted", attrs={})).startswith("the result of call ?")
    assert noted(Entry(0, 1, "note", "lag")) == ""
    assert noted(Entry(0, 1, "fault", "kill")) == ""
