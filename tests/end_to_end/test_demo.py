"""`proofrig demo` as a user types it: what it shows is what took place."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proofrig.demo.scenes import SCENES
from proofrig.demo.screen import Screen
from proofrig.demo.show import SUITES, Demo
from proofrig.history.history import History
from proofrig.reports.console import make_console

DEMO = [sys.executable, "-m", "proofrig", "demo", "--short"]


def environment(home: Path) -> dict[str, str]:
    """A terminal's that cannot redraw; nothing of the user's."""
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "PYTHONUTF8": "1"}


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that name `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in said:
            found.append(said)
    return found


def test_it_shows_what_took_place_and_keeps_its_promises(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        DEMO,
        capture_output=True,
        text=True,
        cwd=here,
        env=environment(tmp_path / "home"),
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    wide = [line for line in done.stdout.splitlines() if len(line) > 80]
    assert [line for line in wide if "coding.yaml" not in line] == [], "only paths are longer"
    assert "coding.yaml\n" in done.stdout
    runs = {
        path.name.split("-demo-")[1].rpartition("-")[0]: path
        for path in (here / ".proofrig" / "runs").iterdir()
    }
    assert set(runs) == {"without", "with", "coding", "support", "research", "fleet"}
    for path in runs.values():
        assert f".proofrig/runs/{path.name}/report.html" in done.stdout
        assert (path / "report.html").stat().st_size > 10_000
    charged = {
        name: sum(
            entry.attrs["actual"].get("usd_micro", 0)
            for entry in History(path).entries()
            if entry.kind == "commit"
        )
        for name, path in runs.items()
    }
    assert 0 < charged["with"] <= 150_000 < charged["without"]
    for name in ("with", "without"):
        assert f"{charged[name] / 1e6:.4f}" in done.stdout, "the ledger shows what was charged"
    assert f"histories have: ${sum(charged.values()) / 1e6:.4f}" in done.stdout
    left = list((tmp_path / "home").iterdir())
    assert left == []


def test_a_scene_whose_rule_is_taken_away_says_what_came_instead(tmp_path: Path) -> None:
    suites = tmp_path / "suites"
    suites.mkdir()
    for path in SUITES.iterdir():
        if path.is_file():
            (suites / path.name).write_bytes(path.read_bytes())
    text = (suites / "coding.yaml").read_text()
    assert "deny: tool.write_file" in text
    (suites / "coding.yaml").write_text(text.replace("agents: coder", "agents: somebody-else"))
    shown = io.StringIO()
    demo = Demo(Screen(make_console(shown, width=80)), tmp_path / "kept", suites=suites)
    with demo.ending:
        demo.scene(1, SCENES[0])
    broken = [one for one in demo.promises if not one.kept]
    assert len(broken) == len(demo.promises), "the agent empties the tests where it may"
    assert "tests/ stays closed" in shown.getvalue()
    assert "refused []" in shown.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals) -> None:
    here = tmp_path / "here"
    here.mkdir()
    process = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=here,
        env=environment(tmp_path / "home"),
        start_new_session=True,
    )
    try:
        waits_until = time.monotonic() + 30
        while len(list(here.glob(".proofrig/runs/*/history/rig-1.jsonl"))) < 2:
            assert time.monotonic() < waits_until
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.decode().strip() == "interrupted"
    assert processes_of(here) == []
