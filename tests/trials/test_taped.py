"""What a run records and replays, and which provider it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cassette_tapes import call, chat, recorded, says
from end_to_end.suites import case, write_suite
from proofrig.errors import SuiteError, UsageError
from proofrig.gateways.gateway import RunClock
from proofrig.history.journal import Journal
from proofrig.providers.recorded import RecordedProvider, RecordedSettings
from proofrig.providers.simulated import SimulatedProvider
from proofrig.trials.stage import StageSetting
from proofrig.trials.taped import cassette_of, provider_of, recorded_by, taping_of

TAPE = RecordedSettings(cassette="tape")


def setting(tmp_path: Path, *, model: Any = None, **more: Any) -> StageSetting:
    changes = {} if model is None else {"model": model}
    suite = write_suite(tmp_path / "suite", [case("a")], **changes)
    run_dir = tmp_path / "run"
    run_dir.mkdir(exist_ok=True)
    clock = RunClock(0)
    return StageSetting(suite=suite, run_dir=run_dir, clock=clock, concurrency=1, seed=1, **more)


def test_a_plain_run_has_nothing_before_its_gateways(tmp_path: Path) -> None:
    plain = setting(tmp_path)
    assert taping_of(plain) is None
    assert isinstance(provider_of(plain), SimulatedProvider)


def test_a_recording_lies_below_its_run_and_knows_its_suite(tmp_path: Path) -> None:
    held = setting(tmp_path, record=True)
    taping = taping_of(held)
    assert taping is not None
    assert (taping.record, taping.replay) == (str(tmp_path / "run" / "cassette"), "")
    assert taping.suite == {"name": "desk", "digest": held.suite.digest(), "simulated": "true"}
    assert taping.anew == ()


def test_the_keys_of_suite_and_environment_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_VENDORS_KEY", "the-key-itself")
    openai = {"base_url": "http://h.example/v1", "key_env": "A_VENDORS_KEY"}
    taping = taping_of(
        setting(tmp_path, record=True, model={"provider": "upstream", "openai": openai})
    )
    assert taping is not None
    assert taping.secrets["A_VENDORS_KEY"] == "the-key-itself"
    assert "simulated" not in taping.suite


@pytest.mark.parametrize(
    ("mode", "replays", "records"),
    [("strict", True, False), ("record_missing", True, True), ("live", False, False)],
)
def test_what_each_mode_means(tmp_path: Path, mode: str, replays: bool, records: bool) -> None:
    told = {"cassette": "tape", "mode": mode, "timing": "0.5", "tools": "all", "ignore": ["$.a"]}
    held = setting(tmp_path, replay=RecordedSettings.model_validate(told))
    taping = taping_of(held)
    if taping is None:
        assert not (replays or records)
        return
    assert taping.replay == (str(tmp_path / "suite" / "tape") if replays else "")
    assert bool(taping.record) is records
    assert (taping.mode, taping.pace, taping.tools, taping.ignore) == (mode, 0.5, "all", ("$.a",))


async def test_a_suite_may_be_a_replay_and_the_command_line_goes_before(tmp_path: Path) -> None:
    await recorded(tmp_path / "suite" / "one", [(call(chat("hi")), says())])
    model = {"provider": "recorded", "cassette": "one"}
    assert recorded_by(setting(tmp_path, model=model).suite, None) == RecordedSettings(
        cassette="one"
    )
    assert recorded_by(setting(tmp_path, model=model).suite, TAPE) == TAPE
    assert recorded_by(setting(tmp_path).suite, None) is None


@pytest.mark.parametrize("simulated", ["", "true"])
async def test_a_strict_replay_starts_no_provider(tmp_path: Path, simulated: str) -> None:
    held = setting(tmp_path, replay=TAPE)
    told = {"name": "desk", "simulated": simulated}
    await recorded(tmp_path / "suite" / "tape", [(call(chat("hi")), says())], suite=told)
    provider = provider_of(held)
    assert isinstance(provider, RecordedProvider)
    endpoints = await provider.start()
    assert {endpoint.simulated for endpoint in endpoints.values()} == {bool(simulated)}
    live = RecordedSettings(cassette="tape", mode="live")
    assert isinstance(provider_of(setting(tmp_path, replay=live)), SimulatedProvider)


async def test_a_cassette_that_is_none_or_was_edited_is_refused(tmp_path: Path) -> None:
    held = setting(tmp_path, replay=TAPE)
    with pytest.raises(UsageError, match="expected a cassette"):
        provider_of(held)
    folder = tmp_path / "suite" / "tape"
    await recorded(folder, [(call(chat("hi")), says({"n": 41}))])
    path = folder / "exchanges.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":41', b'"n":42'))
    with pytest.raises(SuiteError, match=r"response\.n"):
        provider_of(held)


def test_what_was_cut_off_is_run_anew(tmp_path: Path) -> None:
    held = setting(tmp_path, record=True)
    journal = Journal(held.run_dir, "runner", held.clock)
    for trial, failure in (("a:1", ""), ("b:1", "infra"), ("b:1~2", None), ("c:1", None)):
        number = int(trial.partition("~")[2] or 1)
        journal.write("trial", "begin", trial=trial, attrs={"attempt": number})
        if failure is not None:
            journal.write("trial", "end", trial=trial, attrs={"failure": failure})
    journal.close()
    cassette_of(held.run_dir).mkdir()
    taping = taping_of(held)
    assert taping is not None
    assert sorted(taping.anew) == ["b:1", "c:1"]
