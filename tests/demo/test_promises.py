"""What each scene promises, against histories that keep it and that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from builders import action, entry
from proofrig.demo.promises import (
    SEARCHES,
    TEAM_PAGES,
    Played,
    Promise,
    of_coding,
    of_research,
    of_support,
    of_the_race,
    of_the_team,
)
from proofrig.history.action import Action, Entry

NOTHING = Played((), (), lambda digest: None)
PASSED = entry("trial", "end", passed=True)


def played(actions: list[Action], *entries: Entry, **payloads: Any) -> Played:
    return Played(entries, actions, payloads.get)


def broken(promises: list[Promise]) -> list[str]:
    return [one.says for one in promises if not one.kept]


def searches(count: int, refused: tuple[int, ...]) -> list[Action]:
    """The calls of turns of four, the last of each turn first."""
    made = []
    for first in range(1, count + 1, 4):
        turn = f"m{first:02}"
        made.append(action("llm.chat_completions", id=turn))
        made += [
            action(
                "tool.search",
                id=f"s{n}",
                denied=n in refused,
                asked_by=turn,
                call_id=f"c{n:02}",
            )
            for n in reversed(range(first, first + 4))
        ]
    last = action("llm.chat_completions", id="m99", amended=["tools"], request="read")
    return [*made, last]


READ = {"messages": [{"role": "tool", "content": "proofrig refused this call: budget_exceeded"}]}


@pytest.mark.parametrize(
    "of", [of_coding, of_support, of_research, of_the_team], ids=lambda of: of.__name__
)
def test_where_nothing_happened_nothing_is_kept(of: Callable[[Played], list[Promise]]) -> None:
    promises = of(NOTHING)
    assert len(broken(promises)) == len(promises)
    assert all(one.got for one in promises)


def test_a_race_without_runs_keeps_nothing_but_what_is_empty() -> None:
    promises = of_the_race(NOTHING, NOTHING)
    assert len(broken(promises)) == len(promises)


def test_ten_searches_go_in_order_and_the_eleventh_does_not() -> None:
    assert broken(of_research(played(searches(12, (11, 12)), PASSED, read=READ))) == []


def test_a_search_out_of_order_is_seen() -> None:
    found = broken(of_research(played(searches(12, (10, 12)), PASSED, read=READ)))
    assert len(found) == 2
    assert all(str(number) in " ".join(found) for number in (SEARCHES, SEARCHES + 1))


def pages(counts: dict[str, int], refused: int) -> list[Action]:
    made = [
        action("tool.read_page", id=f"{agent}{n}")
        for agent, count in counts.items()
        for n in range(count)
    ]
    made = [msgspec.structs.replace(one, scope=f"acme/demo-fleet/{one.id[0]}/run") for one in made]
    denied = {"denied": True, "at": "acme/demo-fleet"}
    return made + [action("tool.read_page", id=f"d{n}", **denied) for n in range(refused)]


def test_a_team_reads_exactly_what_it_may() -> None:
    ends = [PASSED] * 3
    kept = of_the_team(played(pages({"a": 8, "b": 8, "c": 6}, 2), *ends))
    assert broken(kept) == []
    assert kept[0].says.startswith(f"8 + 8 + 6 = {TEAM_PAGES}")
    over = of_the_team(played(pages({"a": 8, "b": 8, "c": 7}, 1), *ends))
    assert [one.got for one in over if not one.kept] == ["23 pages by 3 agents"]


def race(spent: int, steps: list[str], after: bool = False) -> Played:
    charged = action("llm.chat_completions")
    assert charged.end is not None
    charged.end.attrs["actual"] = {"usd_micro": spent}
    denied = action("llm.chat_completions", id="a2", denied=True, code="budget_exceeded")
    notes = [entry("note", "anomaly", t=place, step=step) for place, step in enumerate(steps)]
    late = [entry("start", "tool.score", t=99)] if after else []
    return played([charged, denied], *notes, *late)


def test_the_race_is_kept_when_the_right_one_is_stopped_within_its_budget() -> None:
    left = action("llm.chat_completions")
    assert left.end is not None
    left.end.attrs["actual"] = {"usd_micro": 500_000}
    without = played([left], entry("trial", "end", failure="timeout"))
    steps = ["warn", "deny", "stop"]
    assert broken(of_the_race(without, race(140_000, steps))) == []
    assert len(broken(of_the_race(without, race(150_001, steps)))) == 1
    assert len(broken(of_the_race(without, race(140_000, steps, after=True)))) == 1
    assert len(broken(of_the_race(without, race(140_000, ["warn", "stop"])))) == 1
