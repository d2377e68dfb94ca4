"""The stage of an engine, here with `sleep` as one. Whole boxes are in test_contained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.sandboxes import keeper, stage

SCRIPT = str(Path(stage.__file__))


class Stage:
    """`stage.py` as a child."""

    def __init__(self, folder: Path, **spec: object) -> None:
        file = folder / "stage.json"
        common = {"bare": True, "env": dict(os.environ), "stop": ["true"], "reply_fd": "FD"}
        file.write_text(json.dumps({**common, **spec}))
        reading, writing = os.pipe()
        self.told = open(reading, "rb", buffering=0)  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", SCRIPT, str(file)],
            env={**os.environ, "FD": str(writing)},
            pass_fds=[writing],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(writing)

    def tell(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=60)
        self.told.close()
        return self.process.returncode, said.decode()


def test_a_bare_engine_is_held_and_stopped(tmp_path: Path) -> None:
    up, stopped = tmp_path / "up", tmp_path / "stopped"
    os.mkfifo(up)
    engine = ["sh", "-c", f"trap 'exit 0' TERM; echo $$ > {up}; while :; do sleep 0.01; done"]
    stop = ["sh", "-c", f"touch {stopped}; kill $(cat {tmp_path}/pid)"]
    made = Stage(tmp_path, argv=engine, stop=stop)
    made.tell(b"g")
    pid = int(up.read_text())
    (tmp_path / "pid").write_text(str(pid))
    assert not stopped.exists()
    made.tell(b"k")
    assert made.told.read(4) == b"dead"
    assert stopped.exists()
    assert keeper.parent_and_state(pid)[1] in ("", "Z", "X")
    assert made.end() == (0, "")


def test_a_bare_stage_kills_nothing_by_itself(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "1000"])
    made = Stage(tmp_path, argv=["true"])
    made.tell(b"g")
    assert made.told.read(4) == b"dead"
    made.tell(b"k")
    assert made.end()[0] == 0
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_stage_that_is_never_told_to_start_ends_with_its_runner(tmp_path: Path) -> None:
    made = Stage(tmp_path, argv=["sh", "-c", f"touch {tmp_path}/ran"])
    assert made.end() == (0, "")
    assert not (tmp_path / "ran").exists()


def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    made = Stage(tmp_path, argv=["no-such-engine"])
    made.tell(b"g")
    code, said = made.end()
    assert code == 1
    assert "no-such-engine" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="a user's namespaces need the kernel's leave")
def test_files_that_cannot_be_put_together_are_told(tmp_path: Path) -> None:
    plan = {
        "at": str(tmp_path),
        "uid": 65433,
        "lower": str(tmp_path / "nothing"),
        "mapped": True,
        "world": "",
        "binds": [],
        "hidden": [],
        "room": None,
    }
    extra = {"files": {}, "serves": False, "as_root": True, "plan": plan}
    made = Stage(tmp_path, bare=False, argv=["true"], **extra)
    code, said = made.end()
    assert code == 1
    assert str(tmp_path / "nothing") in said
