"""What a replay is asked for: the recording, and the conditions it was made under."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cassette_tapes import call, chat, recorded, says
from proofrig.cli.replaying import folder_of_cassette, replayed
from proofrig.conclusion import Options
from proofrig.errors import UsageError
from proofrig.trials import manifest as manifests
from proofrig.trials.manifest import Manifest

HOW = {"mode": "strict", "timing": "instant", "tools": "remote"}


async def run_of(root: Path, name: str = "20260101-000000-desk-aaaa", **more: Any) -> Path:
    """A recorded run below a root."""
    run_dir = root / "runs" / name
    await recorded(run_dir / "cassette", [(call(chat("hi")), says())], seed=9)
    told = {"started_ns": 1, "suite": "desk", "suite_path": "", "what": {}, "where": {}}
    told |= {"repeats": 3, "concurrency": 5, "seed": 9, "baselines": False, "only": ["a"]}
    told |= {"packs": ["flaky-network"], "faultless": True, "agents": None, "tenants": 2}
    manifests.write(run_dir, Manifest(run=name, **(told | more)))
    return run_dir


async def test_what_is_left_open_is_as_it_was_recorded(tmp_path: Path) -> None:
    run_dir = await run_of(tmp_path)
    found = replayed(Options(root=tmp_path), "last", HOW | {"timing": "0.5", "tools": "all"})
    assert found.replay is not None
    assert Path(found.replay.cassette) == run_dir / "cassette"
    assert (found.replay.mode, found.replay.timing, found.replay.tools) == ("strict", "0.5", "all")
    assert (found.repeats, found.concurrency, found.seed, found.tenants) == (3, 5, 9, 2)
    assert (found.only, found.packs, found.faultless) == (("a",), ("flaky-network",), True)
    assert found.baselines is False


async def test_what_is_asked_for_goes_before(tmp_path: Path) -> None:
    await run_of(tmp_path, baselines=True)
    asked = Options(root=tmp_path, repeats=1, concurrency=32, seed=4, only=("b",), baselines=False)
    found = replayed(asked, "last", HOW)
    assert (found.repeats, found.concurrency, found.seed, found.only) == (1, 32, 4, ("b",))
    assert found.baselines is False


async def test_a_folder_of_a_cassette_tells_its_seed_alone(tmp_path: Path) -> None:
    folder = tmp_path / "tape"
    await recorded(folder, [(call(chat("hi")), says())], seed=9)
    found = replayed(Options(root=tmp_path), str(folder), HOW)
    assert (found.seed, found.repeats) == (9, None)
    assert replayed(Options(root=tmp_path, seed=1), str(folder), HOW).seed == 1


async def test_the_last_run_is_the_last_that_was_recorded(tmp_path: Path) -> None:
    run_dir = await run_of(tmp_path)
    plain = tmp_path / "runs" / "20270101-000000-desk-bbbb"
    plain.mkdir()
    manifests.write(plain, manifests.read(run_dir))
    options = Options(root=tmp_path)
    assert folder_of_cassette("last", options) == run_dir / "cassette"
    assert folder_of_cassette(run_dir.name[:10], options) == run_dir / "cassette"
    with pytest.raises(UsageError, match="was not recorded; `proofrig record SUITE`"):
        folder_of_cassette(plain.name, options)


async def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was recorded; `proofrig record SUITE` records one"):
        replayed(Options(root=tmp_path), "last", HOW)
    await run_of(tmp_path)
    with pytest.raises(UsageError, match="leave --scenario out"):
        replayed(Options(root=tmp_path, scenarios=("burst",)), "last", HOW)
    with pytest.raises(UsageError, match="--timing: expected instant, recorded, or a factor"):
        replayed(Options(root=tmp_path), "last", HOW | {"timing": "fast"})
