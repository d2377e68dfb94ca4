"""A web page in the place of data."""

from __future__ import annotations

from pathlib import Path

import pytest

from answers_in_forms import APIS, PLAIN, tool_call, tool_result
from fault_rig import fault_rig, through
from proofrig.faults.html_page import PAGES, HtmlPage


@pytest.mark.parametrize("page", sorted(PAGES))
@pytest.mark.parametrize("call", [tool_call(), PLAIN], ids=["tool", "egress"])
async def test_a_page_comes_in_the_place_of_the_answer(call: object, page: str) -> None:
    fault = HtmlPage.model_validate({"page": page})
    seen = await through([fault], tool_result(1), call)  # type: ignore[arg-type]
    assert (seen.status, seen.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"<title>{PAGES[page][0]}</title>".encode() in seen.body
    assert seen.body.startswith(b"<!DOCTYPE html>") and seen.said == len(seen.body)
    assert seen.calls == 0
    assert [(one["status"], one["executed"]) for one in seen.facts] == [(200, False)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("executed", [False, True])
async def test_the_call_is_carried_out_when_it_is_asked_for(
    tmp_path: Path, executed: bool, stream: bool
) -> None:
    async with fault_rig(tmp_path, [HtmlPage(executed=executed)]) as rig:
        got = await rig.ask(stream=stream)
        assert (got.status, got.body[:14], got.ended) == (200, b"<!DOCTYPE html", "whole")
        assert rig.calls == executed
        (commit,) = rig.ends()
        assert commit.attrs["struck"] == ["html_page"] and "infra" not in commit.attrs


@pytest.mark.parametrize("api", APIS)
async def test_no_api_reads_it_as_a_turn(tmp_path: Path, api: str) -> None:
    async with fault_rig(tmp_path, [HtmlPage()]) as rig:
        await rig.ask(api)
        (action,) = rig.actions()
        assert (action.outcome, action.attr("complete")) == ("fail", False)
