"""What a provider said and what its agent got: who pays, and whose failure it was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from fault_rig import fault_rig
from proofrig.faults.empty_result import EmptyResult
from proofrig.faults.fault import Fault
from proofrig.faults.html_page import HtmlPage
from proofrig.faults.http_error import HttpError
from proofrig.faults.latency import Latency
from proofrig.faults.reset import Reset
from proofrig.faults.stale_result import StaleResult
from proofrig.faults.wrong_shape import WrongShape


@pytest.mark.parametrize(
    "fault",
    [
        HttpError(status=504, executed=True),
        HtmlPage(executed=True),
        Reset(executed=True),
        EmptyResult(form="empty_object"),
        WrongShape(shape="listed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_provider_said_is_charged_whatever_the_agent_got(
    tmp_path: Path, fault: Fault, stream: bool
) -> None:
    async with fault_rig(tmp_path, [fault]) as r:
        await r.ask(stream=stream)
        (end,) = r.ends()
        assert (end.attrs["source"], r.rig.spent()["tokens"]) == ("measured", 17)
        assert "infra" not in end.attrs


async def test_an_old_answer_costs_nothing_again(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [StaleResult()]) as r:
        for _ in range(3):
            await r.ask()
        assert (r.calls, r.rig.spent()["tokens"]) == (1, 17)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_of_the_provider_is_its_own_though_a_fault_struck(
    tmp_path: Path, stream: bool
) -> None:
    async def down(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "down"}}, status=500)

    async with fault_rig(tmp_path, [Latency(ms=1)], handler=down) as r:
        await r.ask(stream=stream)
        (end,) = r.ends()
    assert (end.attrs["infra"], end.attrs["struck"]) == (True, ["latency"])


async def test_a_provider_that_is_not_there_is_missing_though_a_fault_struck(
    tmp_path: Path,
) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with fault_rig(tmp_path, [Latency(ms=1)], handler=gone) as r:
        assert (await r.ask()).status == 502
        (end,) = r.ends()
    assert (end.attrs["infra"], end.attrs["struck"]) == (True, ["latency"])


async def test_an_agent_that_leaves_while_a_fault_waits_has_asked_nobody(tmp_path: Path) -> None:
    async with fault_rig(tmp_path, [Latency(ms=60_000)], waits=True) as r:
        asking = asyncio.create_task(r.ask())
        await r.until("fault")
        asking.cancel()
        (end,) = await r.until("release")
        assert (end.attrs["reason"], end.attrs["struck"]) == ("never_sent", ["latency"])
        assert (r.calls, any(r.rig.reserved().values()), r.rig.spent()["tokens"]) == (0, False, 0)
