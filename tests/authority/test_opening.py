"""Opening an authority by where its ledger is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authority_service import RUN, served
from proofrig.authority.action import Actions
from proofrig.authority.http.outbox import Outbox, Owed
from proofrig.authority.opening import open_authority
from proofrig.authority.transition import ReserveRequest
from proofrig.errors import Denied, JournalError, SuiteError, UsageError

POLICY = """
limits: {acme: {calls: 2}}
rules: [{name: no-mail, deny: tool.send_email}]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


@pytest.mark.parametrize("file", ["", "ledger.db"])
async def test_a_policy_file_and_a_place_are_enough(
    tmp_path: Path, policy: Path, file: str
) -> None:
    async with open_authority(file and tmp_path / file, policy=policy) as engine:
        actions = Actions(engine, "acme/desk/bot/r1")
        with pytest.raises(Denied, match="no-mail"):
            async with actions.action("tool.send_email"):
                pass
        async with actions.action("tool.search"):
            pass
        assert (await engine.balances("acme"))["calls"].remaining == 1


async def test_a_journal_goes_on_where_it_ended(tmp_path: Path, policy: Path) -> None:
    for left in (1, 0):
        async with open_authority(tmp_path / "ledger.db", policy=policy) as engine:
            async with Actions(engine, "acme/desk/bot/r1").action("tool.search"):
                pass
            assert (await engine.balances("acme"))["calls"].remaining == left
    async with open_authority(tmp_path / "ledger.db", policy=policy) as engine:
        with pytest.raises(Denied, match="budget_exceeded"):
            async with Actions(engine, "acme/desk/bot/r2").action("tool.search"):
                pass


@pytest.mark.parametrize(
    ("where", "given", "said"),
    [
        ("http://127.0.0.1:1", {"policy": "x.yaml"}, "the service has one"),
        ("", {"key": "k"}, "no service is asked"),
        ("ledger.db", {"outbox": Path("o")}, "no service is asked"),
    ],
)
async def test_what_does_not_go_together_is_refused(
    where: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        async with open_authority(where, **given):
            pass


async def test_a_policy_that_cannot_be_used_is_said_before_anything_opens(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("rules: [{name: a, denny: tool.x}]")
    with pytest.raises(SuiteError, match="deny"):
        async with open_authority(tmp_path / "ledger.db", policy=file):
            pass
    assert not (tmp_path / "ledger.db").exists()


async def test_what_a_service_has_not_got_is_sent_when_it_is_opened(tmp_path: Path) -> None:
    async with served() as api:
        async with open_authority(api.url) as engine:
            await engine.reserve(ReserveRequest("a1", RUN, "tool.refund", {"tokens": 9}))
            await engine.start("a1")
        Outbox(tmp_path / "owed").put(Owed("a1", {"tokens": 4}, "measured", "ok"))
        async with open_authority(api.url, outbox=tmp_path / "owed") as engine:
            assert (await engine.balances("acme"))["tokens"].spent == 4


async def test_a_policy_may_be_what_stands_in_its_file() -> None:
    async with open_authority(policy={"limits": {"acme": {"calls": 0}}}) as engine:
        with pytest.raises(Denied, match="budget_exceeded"):
            async with Actions(engine, RUN).action("tool.search"):
                pass


@pytest.mark.parametrize(("where", "got"), [("gone/a.db", "no folder"), (".", "a folder")])
async def test_a_place_that_is_no_file_is_said(tmp_path: Path, where: str, got: str) -> None:
    with pytest.raises(JournalError, match=f"expected a file for the ledger's journal, got {got}"):
        async with open_authority(tmp_path / where):
            pass
