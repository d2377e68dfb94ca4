"""Ledgers read back, and what does not fit in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import SCOPE, action
from proofrig.authority.authority import Authority, recover
from proofrig.authority.policy import parse_policy
from proofrig.authority.transition import ReserveRequest
from proofrig.demo.accounts import (
    LEDGER,
    Account,
    Accounts,
    read_accounts,
    unbalanced,
    unlike_children,
    unlike_history,
)

POLICY = parse_policy({"limits": {"acme/flow": {"usd": 1, "calls/minute": 9}}})


def one_call(authority: Authority, id: str, run: str, usd_micro: int) -> None:
    hold = {"calls": 1, "usd_micro": 2 * usd_micro}
    authority.reserve(ReserveRequest(id, f"acme/flow/bot/{run}", "llm.messages", hold))
    authority.start(id)
    authority.commit(id, {"calls": 1, "usd_micro": usd_micro}, price="sim-large: invented")


@pytest.fixture
def books(tmp_path: Path) -> Accounts:
    authority = recover(tmp_path / LEDGER, lambda: 1, POLICY)
    one_call(authority, "a", "r1", 300_000)
    one_call(authority, "b", "r2", 100_000)
    authority.close()
    return read_accounts(tmp_path)


def test_a_ledger_is_read_back_with_its_moves(books: Accounts) -> None:
    [flow] = [one for one in books.accounts if (one.scope, one.unit) == ("acme/flow", "usd_micro")]
    assert flow == Account("acme/flow", "usd_micro", 1_000_000, 0, 400_000, 600_000)
    assert [made.event for made in books.moves[-3:]] == ["reserve", "start", "commit"]
    assert books.moves[-1].price == "sim-large: invented"


def test_shown_is_what_is_limited_with_what_its_runs_used_of_it(books: Accounts) -> None:
    shown = [(one.scope, one.unit, one.spent) for one in books.shown()]
    assert shown == [
        ("acme/flow", "usd_micro", 400_000),
        ("acme/flow/bot/r1", "usd_micro", 300_000),
        ("acme/flow/bot/r2", "usd_micro", 100_000),
    ]


def test_without_limits_the_money_of_the_runs_is_shown() -> None:
    free = [Account(scope, "usd_micro", None, 0, 5, None) for scope in ("acme", SCOPE)]
    assert [one.scope for one in Accounts(free, []).shown()] == [SCOPE]


def test_a_whole_ledger_fits(books: Accounts) -> None:
    assert unbalanced(books.accounts) == unlike_children(books.accounts) == []


def test_what_does_not_add_up_is_said() -> None:
    short = Account("acme", "calls", 10, 0, 4, 5)
    held = Account("acme", "tokens", None, 7, 0, None)
    assert len(unbalanced([short, held])) == 2
    assert unlike_children([short, Account("acme/flow", "calls", None, 0, 3, None)]) == [
        "acme calls: 3 below it, 4 of its own"
    ]


def test_a_ledger_that_charged_something_else_is_said() -> None:
    charged = action("llm.messages")
    assert charged.end is not None
    charged.end.attrs["actual"] = {"usd_micro": 5, "calls:llm": 1}
    same = Account(SCOPE, "usd_micro", None, 0, 5, None)
    assert unlike_history([same], [charged]) == []
    assert unlike_history([same], [charged, charged]) == [
        f"{SCOPE} usd_micro: 10 on the history, 5 in the ledger"
    ]
