"""The matrix of fault reactions: it is complete, its words are right, and the SDKs do what
docs/fault-reactions.md says. `make fault-reactions` observes all of it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from proofrig.faults import FAULTS
from proofrig.history.action import Action, Entry

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:  # as `python -m reactions` has it
    sys.path.append(str(ROOT))

from reactions.catalogue import ELSEWHERE, ROWS, TOOL_ROWS, UNSTEADY, Row  # noqa: E402
from reactions.columns import COLUMNS, TOOL_COLUMNS, Column  # noqa: E402
from reactions.model import ARGUMENTS, TEXT  # noqa: E402
from reactions.observe import observatory, observe_all  # noqa: E402
from reactions.page import bare, cells, page  # noqa: E402
from reactions.reaction import Reaction, Traces, read, say  # noqa: E402
from reactions.workers import Told  # noqa: E402

PAGE = ROOT / "docs" / "fault-reactions.md"
SLOW = ("waits", "sleeps")  # cells that take as long as the harness waits; they are left out here
CHAT = next(one for one in COLUMNS if one.function == "chat")
AGENT = next(one for one in COLUMNS if one.agent)


def test_every_kind_of_fault_has_a_row() -> None:
    shown = {row.kind for row in (*ROWS, *TOOL_ROWS)}
    assert shown | ELSEWHERE.keys() == FAULTS.keys()
    assert shown & ELSEWHERE.keys() == set()


@pytest.mark.parametrize("rows", [ROWS, TOOL_ROWS], ids=["models", "tools"])
def test_rows_are_told_apart_by_their_titles(rows: tuple[Row, ...]) -> None:
    assert len({row.title for row in rows}) == len(rows)


@pytest.mark.parametrize("row", [*ROWS, *TOOL_ROWS], ids=lambda row: row.title)
def test_every_row_is_a_fault_as_a_suite_may_declare_it(row: Row) -> None:
    surface = "tool" if row in TOOL_ROWS else "llm"
    FAULTS[row.kind].model_validate({"kind": row.kind, **row.settings, "on": {"at": surface}})


def test_what_is_unsteady_is_in_the_tables() -> None:
    assert UNSTEADY.keys() <= {(row.title, str(column)) for row in ROWS for column in COLUMNS}


def test_the_page_holds_every_cell() -> None:
    wanted = {(row.title, str(column)) for row in ROWS for column in COLUMNS}
    wanted |= {(row.title, str(column)) for row in TOOL_ROWS for column in TOOL_COLUMNS}
    assert cells(PAGE.read_text()).keys() == wanted, "run: make fault-reactions"


def sampled(group: str) -> list[tuple[Row, Column]]:
    """For each row a client of the group, drawn by a seed: one that the page says something quick
    of. Rows whose every cell is slow are left to the whole matrix."""
    said, rng = cells(PAGE.read_text()), random.Random(f"reactions of {group}")
    rows = TOOL_ROWS if group == "tools" else ROWS
    columns = [one for one in (*COLUMNS, *TOOL_COLUMNS) if one.group == group]
    drawn = []
    for row in rows:
        quick = [one for one in columns if row.limit_s < 10 and _quick(said[row.title, str(one)])]
        drawn += [(row, rng.choice(quick))] if quick else []
    return drawn


def _quick(cell: str) -> bool:
    return cell not in (*SLOW, "–")


@pytest.mark.parametrize("group", ["openai", "anthropic", "tools"])
async def test_clients_do_what_the_page_says(group: str) -> None:
    """A cell that differs is observed again, alone: a busy machine can break a short timeout."""
    said = {key: bare(cell) for key, cell in cells(PAGE.read_text()).items()}

    def differ(got: list[Reaction]) -> dict[tuple[str, str], str]:
        words = {(one.row, one.column): bare(say(one)) for one in got}
        return {key: cell for key, cell in words.items() if cell != said[key]}

    chosen = sampled(group)
    async with observatory(together=10) as seen:
        wrong = differ(await observe_all(seen, chosen))
        again = [(row, column) for row, column in chosen if (row.title, str(column)) in wrong]
        wrong = differ([await seen.observe(row, column) for row, column in again])
    assert wrong == {key: said[key] for key in wrong}, "run: make fault-reactions"


def test_the_sampled_cells_cover_every_kind_that_has_a_quick_one() -> None:
    kinds = {row.kind for group in ("openai", "anthropic", "tools") for row, _ in sampled(group)}
    assert kinds == {row.kind for row in (*ROWS, *TOOL_ROWS)}


def test_a_page_can_be_read_back() -> None:
    cell = "3 attempts (0.5 s, 1 s), `A|B`"
    base: dict[str, Any] = {"struck": 3, "attempts": 3, "ended": "raised", "error": "A|B"}
    all_cells = [
        Reaction(row=row.title, column=str(column), waits_s=(0.5, 1.0), **base)
        for rows, columns in ((ROWS, COLUMNS), (TOOL_ROWS, TOOL_COLUMNS))
        for row in rows
        for column in columns
    ]
    text = page(all_cells, {"x": {"lib": "1"}}, 6.0)
    assert set(cells(text).values()) == {cell}
    assert page(all_cells, {"x": {"lib": "1"}}, 6.0) == text


# What is read from a history, and the words for it.


def call(
    number: int, *, at_s: float, lasts_s: float = 0.0, struck: bool = True, **end: Any
) -> Action:
    """A call to a model; equal requests, unless they name another."""
    begun, ended = round(at_s * 1e9), round((at_s + lasts_s) * 1e9)
    asked = {"request": end.pop("request", "same")}
    reserve = Entry(0, begun, "reserve", "llm.chat_completions", attrs=asked)
    commit = Entry(1, ended, "commit", "llm.chat_completions", attrs={"outcome": "fail"} | end)
    fault = (Entry(2, begun, "fault", "http_error"),) if struck else ()
    return Action(
        f"rig.{number}", "llm.chat_completions", "t", "", "", reserve, None, commit, fault
    )


def reaction(
    told: Told, *actions: Action, row: Row | None = None, column: Column = CHAT, at_s: float = 9.0
) -> Reaction:
    traces = Traces(told, actions, lambda digest: digest.encode(), round(at_s * 1e9), ())
    return read(row or Row("503", "http_error"), column, traces)


def test_attempts_are_equal_requests_and_waits_the_gaps_between_them() -> None:
    tries = call(1, at_s=0), call(2, at_s=0.45), call(3, at_s=1.4)
    got = reaction(Told(error="RateLimitError", module="openai"), *tries)
    assert (got.struck, got.attempts, got.waits_s) == (3, 3, (0.5, 1.0))
    assert say(got) == "3 attempts (0.5 s, 1 s), `RateLimitError`"


def test_an_error_of_a_library_below_names_it() -> None:
    got = reaction(Told(error="ReadError", module="httpx2"), call(1, at_s=0))
    assert say(got) == "`httpx2.ReadError`"
    assert not got.dangerous


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TEXT, "ok"),
        (f"{TEXT} and more", "ok, all of the text"),
        (TEXT[:20], "**silent: partial text**"),
        (TEXT[:20] * 2, "**silent: other text**"),
        ("", "**silent: empty text**"),
    ],
)
def test_a_text_that_is_not_the_models_is_silent(text: str, words: str) -> None:
    got = reaction(Told(text=text), call(1, at_s=0))
    assert say(got) == words
    assert got.silent is words.startswith("**")


def test_what_the_fault_did_not_strike_says_nothing() -> None:
    assert say(reaction(Told(text=TEXT), call(1, at_s=0, struck=False))) == "–"


def test_who_sleeps_is_told_from_who_waits() -> None:
    refused = call(1, at_s=0, lasts_s=0.1, status=429)
    left = call(1, at_s=0, lasts_s=9.0, outcome="unknown")
    broken = call(1, at_s=0, lasts_s=0.1, status=200)
    whole = call(1, at_s=0, lasts_s=0.1, status=200, outcome="ok")
    ends = [say(reaction(Told(late=True), one)) for one in (refused, left, broken, whole)]
    assert ends == ["sleeps", "waits", "waits", "busy"]


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        ([ARGUMENTS], "ok"),
        ([{"order_id": "ORD-7"}], "**tool ran with cut arguments**"),
        ([ARGUMENTS, ARGUMENTS], "**tool ran twice**"),
        ([], "**silent: no tool call**"),
    ],
)
def test_what_an_agent_ran_is_held_against_what_was_asked(
    ran: list[dict[str, Any]], words: str
) -> None:
    row = Row("cut", "truncated_arguments", tool=True)
    calls = call(1, at_s=0), call(2, at_s=1, struck=False, request="with the result")
    got = reaction(Told(text=TEXT, ran=ran), *calls, row=row, column=AGENT)
    assert say(got) == words
    assert got.dangerous is words.startswith("**")


def test_a_further_turn_is_the_agent_asking_again() -> None:
    row = Row("cut", "truncated_arguments", tool=True)
    calls = [call(1, at_s=0)]
    calls += [call(n, at_s=n, struck=False, request=f"turn {n}") for n in (2, 3)]
    got = reaction(Told(text=TEXT, ran=[ARGUMENTS]), *calls, row=row, column=AGENT)
    assert say(got) == "asks the model again, ok"
