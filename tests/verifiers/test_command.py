from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from builders import evidence, world
from proofrig.verifiers import Verdict, judge
from proofrig.verifiers.command import CommandCheck


def judged(root: Path, *run: str, **settings: Any) -> Verdict:
    found = evidence(world=root / "world", suite_dir=root / "suite")
    return judge(CommandCheck(run=run, **settings), found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    world(tmp_path / "world", {"app.py": "X = 1\n", "run.sh": "#!/bin/sh\nexit 4\n"})
    (tmp_path / "world/run.sh").chmod(0o755)
    world(tmp_path / "suite", {"hidden/check.py": "import app; assert app.X == 1\n"})
    return tmp_path


@pytest.mark.parametrize(
    ("run", "settings", "passed", "says"),
    [
        (("true",), {}, True, "exit 0"),
        (("false",), {}, False, "expected false to exit with 0; got exit 1"),
        (("false",), {"exit": (1, 2)}, True, ""),
        (("sh", "-c", "echo out; echo err >&2; exit 3"), {}, False, "stdout ends: out; stderr"),
        (("sh", "-c", "kill -9 $$"), {}, False, "killed by signal 9"),
        (("sh", "-c", "kill -9 $$"), {"exit": 137}, False, "killed by signal 9"),
        (("python", "-c", "import app; assert app.X == 1"), {}, True, ""),
        (("./run.sh",), {"exit": 4}, True, ""),
        (("./gone.sh",), {}, False, "./gone.sh is absent"),
        (("no-such-program",), {}, None, "expected the program 'no-such-program'"),
        (("sh", "-c", 'test "$A" = b && test -z "$SECRET"'), {"env": {"A": "b"}}, True, ""),
        (("sh", "-c", "printf '\\377\\376'; exit 1"), {}, False, "\ufffd"),
        (("python", "check.py"), {"add": {"check.py": "hidden/check.py"}}, True, ""),
        (("python", "t/check.py"), {"add": {"t": "hidden"}, "env": {"PYTHONPATH": "."}}, True, ""),
        (("true",), {"add": {"t": "absent"}}, None, "under `add`"),
    ],
)
def test_command(
    run: tuple[str, ...],
    settings: dict[str, Any],
    passed: bool | None,
    says: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "x")
    verdict = judged(root, *run, **settings)
    assert (verdict.passed, says in verdict.message) == (passed, True), verdict.message


def test_it_runs_in_a_copy(root: Path) -> None:
    assert judged(root, "sh", "-c", "rm app.py && touch new").passed is True
    assert sorted(os.listdir(root / "world")) == ["app.py", "run.sh"]
    assert judged(root, "test", "-e", "app.py").passed is True


def test_what_the_agent_left_can_neither_hang_nor_mislead_it(root: Path) -> None:
    os.mkfifo(root / "world/pipe")
    (root / "world/away").symlink_to("/etc")
    world(root / "world", {"__pycache__/app.cpython-311.pyc": "forged"})
    (root / "world/t").symlink_to(root)  # where the hidden tests will be laid
    verdict = judged(
        root,
        "sh",
        "-c",
        "test ! -e pipe && test -L away && test ! -e __pycache__ && test -f t/check.py",
        add={"t/check.py": "hidden/check.py"},
    )
    assert verdict.passed is True, verdict.message
    assert not (root / "check.py").exists()


def test_a_timeout_ends_the_whole_tree(root: Path) -> None:
    pids = root / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "if os.fork() == 0: os.setsid()\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "time.sleep(600)\n"
    )
    verdict = judged(root, sys.executable, "-c", code, timeout_s=1.5)
    assert verdict.passed is False
    assert "no end within 1.5 s" in verdict.message
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    assert not any(psutil.pid_exists(pid) for pid in started)


def test_what_it_left_running_ends_with_it(root: Path) -> None:
    pid_file = root / "pid"
    assert judged(root, "sh", "-c", f"setsid sleep 600 & echo $! > {pid_file}").passed is True
    assert not psutil.pid_exists(int(pid_file.read_text()))


def test_a_flood_of_output_is_read_and_dropped(root: Path) -> None:
    verdict = judged(root, "sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' x; exit 1")
    assert verdict.got == "exit 1"
    assert len(verdict.message) < 1_500


async def test_it_can_be_called_from_an_event_loop(root: Path) -> None:
    assert judged(root, "true").passed is True
