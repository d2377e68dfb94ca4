"""Whose traffic it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from egress_rig import TOKEN, EgressRig, egress_rig
from proofrig.agents.environment import identity_headers
from proofrig.gateways.egress.callers import NOBODY, Asked, Caller, Callers, Stranger
from proofrig.gateways.egress.hosts import Place

WHERE = Place("example.com", 443)


@asynccontextmanager
async def callers(
    run_dir: Path, *, passes: bool = False
) -> AsyncIterator[tuple[EgressRig, Callers]]:
    async with egress_rig(run_dir) as rig:
        yield rig, Callers(rig.context, passes=passes)


def asked(user: str | None, **headers: str) -> Asked:
    return Asked("CONNECT", WHERE, headers, user)


def admit(who: Callers, one: Asked) -> Caller | Stranger:
    return who.admit(one, who.look(one))


@pytest.mark.parametrize(
    ("one", "channel"),
    [
        (asked(TOKEN), "proxy"),
        (asked("proofrig-shared", baggage=f"proofrig.trial={TOKEN}"), "baggage"),
        (asked(None, baggage=f"proofrig.trial={TOKEN}"), "baggage"),
        (asked(None, traceparent=identity_headers(TOKEN)["traceparent"]), "trace"),
        (asked("whoever", authorization=f"Bearer {TOKEN}"), "key"),
    ],
)
async def test_a_trial_is_known(tmp_path: Path, one: Asked, channel: str) -> None:
    async with callers(tmp_path) as (_, who):
        caller = admit(who, one)
    assert isinstance(caller, Caller)
    assert (caller.binding.trial, caller.channel) == ("case:1", channel)


async def test_the_credentials_win_over_the_baggage(tmp_path: Path) -> None:
    async with callers(tmp_path) as (_, who):
        caller = admit(who, asked(TOKEN, baggage="proofrig.trial=tok-of-the-other-one"))
    assert isinstance(caller, Caller) and caller.binding.trial == "case:1"


@pytest.mark.parametrize(
    ("one", "status", "note"),
    [
        (asked("somebody-elses"), 403, {"channel": "proxy", "hint": "...lses"}),
        (asked("proofrig-shared"), 403, {"channel": "none"}),
        (asked(""), 403, {"channel": "none"}),
    ],
)
async def test_a_stranger_is_written_down(
    tmp_path: Path, one: Asked, status: int, note: dict[str, Any]
) -> None:
    async with callers(tmp_path) as (rig, who):
        stranger = admit(who, one)
        (said,) = rig.notes("unattributed")
    assert isinstance(stranger, Stranger) and stranger.status == status
    assert "HTTP_PROXY" in stranger.message
    assert (
        said == {"method": "CONNECT", "host": "example.com", "agent": "", "answer": "refuse"} | note
    )


async def test_who_is_asked_for_credentials_and_brings_them_is_no_stranger(tmp_path: Path) -> None:
    async with callers(tmp_path) as (rig, who):
        strangers = [admit(who, asked(None)) for _ in range(2)]
        assert [one.status for one in strangers if isinstance(one, Stranger)] == [407, 407]
        admit(who, asked(TOKEN))
        who.close()
        assert len(rig.notes("unattributed")) == 1  # the other never came back


async def test_who_does_not_come_back_in_time_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofrig.gateways.egress.callers.PATIENCE_S", 0.01)
    async with callers(tmp_path) as (rig, who):
        admit(who, asked(None))
        await rig.until("note", "unattributed")
        who.close()
        await asyncio.sleep(0.03)
        assert len(rig.notes("unattributed")) == 1


async def test_strangers_pass_where_they_may(tmp_path: Path) -> None:
    async with callers(tmp_path, passes=True) as (rig, who):
        caller = admit(who, asked(None))
        assert isinstance(caller, Caller) and caller.binding is NOBODY
        assert rig.notes("unattributed")[0]["answer"] == "pass"


async def test_a_trial_that_has_ended_is_late(tmp_path: Path) -> None:
    async with callers(tmp_path, passes=True) as (rig, who):
        rig.context.bindings.end(TOKEN)
        stranger = admit(who, asked(TOKEN))
        (note,) = rig.entries("note", "late")
    assert isinstance(stranger, Stranger) and "trial case:1 has ended" in stranger.message
    assert note.trial == "case:1"
