"""A run is recorded and replayed offline: the same outcome, no provider, and every miss told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from end_to_end.suites import case, command, ends, options, run_suite, write_suite
from end_to_end.test_examples import EXAMPLES, Ran, put_through
from end_to_end.test_upstream import KEY, PRICES, Vendor, serving
from proofrig.errors import SuiteError, UsageError
from proofrig.history.action import Entry
from proofrig.history.history import History
from proofrig.providers.recorded import RecordedSettings
from proofrig.rescore import rescore
from proofrig.trials.taped import cassette_of

TOOLS = [{"type": "python", "target": "e2e_tools:add"}]
ADDS = {"provider": "simulated", "function": "e2e_model:adds"}


def replay(run_dir: Path, **more: Any) -> RecordedSettings:
    return RecordedSettings(cassette=str(cassette_of(run_dir)), **more)


def holding(folder: Path, text: str) -> Iterator[Path]:
    """The files below a folder that hold a text."""
    for path in folder.rglob("*"):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path


def notes(run_dir: Path, name: str) -> list[Entry]:
    found = History(run_dir).entries()
    return [entry for entry in found if entry.kind == "note" and entry.name == name]


@pytest.mark.parametrize(
    ("example", "only"),
    [
        ("support_desk", ("refund/two-of-three", "refund/final-sale", "status/on-its-way")),
        ("coding_fix", ("slugs", "cart")),
    ],
)
def test_an_example_replays_as_it_was_with_no_provider_running(
    tmp_path: Path, example: str, only: tuple[str, ...]
) -> None:
    suite = EXAMPLES / example
    first = put_through(suite, tmp_path, repeats=2, only=only, record=True)
    again = put_through(suite, tmp_path, repeats=2, only=only, replay=replay(first.dir))
    assert again.outcomes() == first.outcomes()
    assert asked(again) == asked(first)
    assert notes(again.dir, "miss") == notes(again.dir, "unplayed") == []
    assert not [one for one in psutil.process_iter(["cmdline"]) if _is_provider(one)]


def asked(ran: Ran) -> list[tuple[str, str, str]]:
    return [(trial, call.name, call.arguments) for trial, call in ran.calls()]


def _is_provider(process: psutil.Process) -> bool:
    words = process.info["cmdline"] or ()
    return "proofrig.providers.simulated_server" in words and process.ppid() == 1


async def test_a_vendor_is_replayed_after_it_is_gone_and_its_key_is_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_VENDORS_KEY", KEY)
    with serving(Vendor()) as vendor:
        openai = {"base_url": vendor.url, "key_env": "A_VENDORS_KEY"}
        settings = {"model": {"provider": "upstream", "openai": openai}} | PRICES
        suite = write_suite(tmp_path / "suite", [case("a"), case("b")], **settings)
        run_dir, first = await run_suite(suite, tmp_path, record=True)
    monkeypatch.delenv("A_VENDORS_KEY")
    again_dir, again = await run_suite(suite, tmp_path, replay=replay(run_dir))
    assert first.summary.overall.passed == again.summary.overall.passed == 2
    assert notes(again_dir, "miss") == []
    assert not list(holding(tmp_path, KEY))


async def test_many_trials_that_interleave_each_get_their_own_answers(tmp_path: Path) -> None:
    cases = [case(f"c{number}", f"What is {number} + 2?") for number in range(12)]
    suite = write_suite(tmp_path / "suite", cases, model=ADDS, tools=TOOLS, concurrency=12)
    run_dir, _ = await run_suite(suite, tmp_path, repeats=3, record=True, baselines=False)
    how = {"repeats": 3, "replay": replay(run_dir), "baselines": False}
    again_dir, again = await run_suite(suite, tmp_path, **how)
    assert again.summary.overall.passed == 36
    assert notes(again_dir, "miss") == []


async def test_a_miss_fails_its_trial_and_names_the_first_field_that_differs(
    tmp_path: Path,
) -> None:
    suite = write_suite(tmp_path / "suite", [case("a"), case("b")])
    run_dir, _ = await run_suite(suite, tmp_path, record=True)
    changed = [case("a"), case("b", "What is 40 + 3?")]
    suite = write_suite(tmp_path / "suite", changed)
    again_dir, again = await run_suite(suite, tmp_path, replay=replay(run_dir))
    assert again.summary.overall.failures == {"diverged": 1}
    assert again.summary.overall.passed == 1
    (miss,) = notes(again_dir, "miss")
    assert miss.trial == "b:1"
    assert miss.attrs["path"] == "$.messages[0].content"
    assert (miss.attrs["recorded"], miss.attrs["asked"]) == (
        '"What is 40 + 2?"',
        '"What is 40 + 3?"',
    )
    error = ends(again_dir)["b:1"].attrs["error"]
    assert "$.messages[0].content differs" in error
    judged = rescore(suite, again_dir, options(tmp_path))
    assert judged.summary.overall.failures == {"diverged": 1}


async def test_an_agent_that_asks_less_than_was_recorded_says_so(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")], model=ADDS, tools=TOOLS)
    run_dir, _ = await run_suite(suite, tmp_path, record=True)
    suite = write_suite(
        tmp_path / "suite",
        [case("a")],
        model=ADDS,
        tools=TOOLS,
        agent={"type": "python", "target": "e2e_agent:behave"},
    )
    again_dir, _ = await run_suite(suite, tmp_path, replay=replay(run_dir))
    assert [entry.attrs["exchanges"] for entry in notes(again_dir, "unplayed")]


async def test_what_is_missing_goes_out_and_is_recorded_anew_when_that_is_asked_for(
    tmp_path: Path,
) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    run_dir, _ = await run_suite(suite, tmp_path, record=True)
    suite = write_suite(tmp_path / "suite", [case("a"), case("b", "Something new")])
    how = {"replay": replay(run_dir, mode="record_missing"), "baselines": False}
    anew_dir, anew = await run_suite(suite, tmp_path, **how)
    assert anew.summary.overall.passed == 2
    assert [entry.trial for entry in notes(anew_dir, "recorded_anew")] == ["b:1"]
    last_dir, last = await run_suite(suite, tmp_path, replay=replay(anew_dir), baselines=False)
    assert last.summary.overall.passed == 2
    assert notes(last_dir, "miss") == []


async def test_a_cassette_is_a_provider_of_a_suite(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    run_dir, _ = await run_suite(suite, tmp_path, record=True)
    cassette_of(run_dir).rename(tmp_path / "suite" / "tape")
    model = {"provider": "recorded", "cassette": "tape", "timing": "0.5"}
    suite = write_suite(tmp_path / "suite", [case("a")], model=model)
    _, conclusion = await run_suite(suite, tmp_path)
    assert conclusion.summary.overall.passed == 1


async def test_an_edit_by_hand_is_refused_with_its_field_before_anything_is_run(
    tmp_path: Path,
) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    run_dir, _ = await run_suite(suite, tmp_path, record=True)
    exchanges = cassette_of(run_dir) / "exchanges.jsonl"
    line = msgspec.json.decode(exchanges.read_bytes().splitlines()[0])
    line["response"]["choices"][0]["message"]["content"] = "41"
    exchanges.write_bytes(msgspec.json.encode(line) + b"\n")
    with pytest.raises(SuiteError, match=r"response\.choices\[0\]\.message\.content"):
        await run_suite(suite, tmp_path, replay=replay(run_dir))
    assert len(list((tmp_path / "kept" / "runs").iterdir())) == 1


async def test_a_folder_without_a_recording_is_refused(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    with pytest.raises(UsageError, match="cassette"):
        await run_suite(suite, tmp_path, replay=RecordedSettings(cassette=str(tmp_path)))


def test_the_command_line_records_replays_checks_and_seals(tmp_path: Path) -> None:
    cases = [case("a"), case("b")]
    suite = write_suite(tmp_path / "suite", cases, repeats=2, seed=4)
    place = str(suite.dir)

    def do(*words: str) -> subprocess.CompletedProcess[str]:
        asked = command(*words, folder=tmp_path)
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    assert "was recorded" in do("run", place, "--replay", "last").stderr
    # The replay is asked for the cases, the repeats and the seed of the run it replays.
    assert do("record", place, "--case", "b", "--seed", "9", "-n", "3", "-q").returncode == 0
    replayed = do("run", place, "--replay", "last", "--timing", "recorded", "-q")
    assert "3 of 3 passed" in replayed.stdout
    assert "unchanged since it was sealed" in do("cassette", "check").stdout
    (exchanges,) = tmp_path.glob("kept/runs/*/cassette/exchanges.jsonl")
    exchanges.write_text(exchanges.read_text().replace('"content":"42"', '"content":"41"', 1))
    refused = do("cassette", "check")
    assert refused.returncode == 2
    assert "response.choices[0].message.content" in refused.stderr
    assert "1 exchange had changed" in do("cassette", "seal").stdout
    assert "2 of 3 passed" in do("run", place, "--replay", "last", "-q").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "strict"), "--mode belongs to a replay"),
        (("--replay-tools", "all"), "--replay-tools belongs to a replay"),
        (("--replay", "last", "--scenario", "burst"), "--replay replays a plain run"),
        (("--record", "--scenario", "burst"), "what is recorded is a plain run"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    suite = write_suite(tmp_path / "suite", [case("a")])
    asked = command("run", str(suite.dir), *words, folder=tmp_path)
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
