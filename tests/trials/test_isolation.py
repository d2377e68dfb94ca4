"""How the level of a run is settled before its first trial."""

from __future__ import annotations

from typing import Any

import pytest

from proofrig.errors import UsageError
from proofrig.sandboxes.sandbox import Image, Level, Unavailable
from proofrig.suites import Suite
from proofrig.suites.sandbox import VARIABLE
from proofrig.trials.isolation import image_of, level_of, settled, under

ISOLATED = {"type": "python", "target": "agent:run"}
SHARED = {**ISOLATED, "mode": "shared"}
COMMAND = {"type": "command", "argv": ["true"]}
HTTP = {"type": "http", "url": "http://127.0.0.1:9/"}


def suite(agent: dict[str, Any], **sandbox: Any) -> Suite:
    case = {"id": "a", "task": "do", "verify": [{"type": "exact", "value": "4"}]}
    return Suite.model_validate(
        {"suite": "demo", "agent": agent, "sandbox": sandbox, "cases": [case]}
    )


@pytest.mark.parametrize("agent", [ISOLATED, COMMAND], ids=["python", "command"])
async def test_an_agent_with_a_process_per_trial_gets_a_namespace(
    agent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    found, why = await settled(suite(agent))
    assert (level_of(found), why) == ("namespace", "")


@pytest.mark.parametrize("agent", [SHARED, HTTP], ids=["shared", "http"])
async def test_other_agents_stay_where_they_are(
    agent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    found, why = await settled(suite(agent))
    assert (level_of(found), why) == ("process", "")


async def test_where_there_are_no_namespaces_the_run_says_why_it_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("PATH", "/nowhere")
    found, why = await settled(suite(ISOLATED))
    assert level_of(found) == "process"
    assert "bubblewrap" in why


async def test_a_level_that_was_asked_for_is_never_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="bubblewrap"):
        await settled(suite(ISOLATED), "namespace")


@pytest.mark.parametrize(
    ("variable", "written", "asked", "found"),
    [
        ("process", {}, None, "process"),
        ("namespace", {}, None, "namespace"),
        ("process", {"isolation": "namespace"}, None, "namespace"),
        ("namespace", {"isolation": "namespace"}, "process", "process"),
    ],
)
async def test_what_is_asked_for_comes_before_what_is_written_and_the_environment(
    variable: str,
    written: dict[str, Any],
    asked: Level | None,
    found: Level,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, variable)
    given, why = await settled(suite(ISOLATED, **written), asked)
    assert (level_of(given), why) == (found, "")


async def test_a_level_that_is_none_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "docker")
    with pytest.raises(UsageError, match=r"expected one of process, namespace.*got 'docker'"):
        await settled(suite(ISOLATED))


async def test_an_agent_that_runs_elsewhere_cannot_be_boxed() -> None:
    with pytest.raises(UsageError, match="an agent of type http does not run in a box"):
        await settled(suite(HTTP), "namespace")


def test_above_processes_a_shared_host_is_a_process_per_trial() -> None:
    boxed = under(suite(SHARED), "namespace")
    assert boxed.agent.model_dump()["mode"] == "isolated"
    assert under(suite(SHARED), "process").agent.model_dump()["mode"] == "shared"


def test_the_level_is_no_part_of_what_a_suite_says() -> None:
    plain = suite(ISOLATED)
    assert under(plain, "namespace").digest() == plain.digest()
    assert suite(ISOLATED, files=["x"]).digest() != plain.digest()


def test_only_boxes_of_the_host_do_without_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFRIG_CACHE", "/nowhere")
    assert image_of(suite(ISOLATED), "namespace") == Image()
    with pytest.raises(Unavailable, match="proofrig image build"):
        image_of(suite(ISOLATED), "vm")
    with pytest.raises(Unavailable, match="proofrig image build"):
        image_of(suite(ISOLATED, root="image"), "namespace")
