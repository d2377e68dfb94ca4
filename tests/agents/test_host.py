"""The host under the oldest Python it promises to run on, and what it costs to start."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.agents.hosting import HOST

FILES = [HOST, HOST.with_name("shared_host.py"), HOST.with_name("identity.py")]


def pythons() -> list[str]:
    """This interpreter, and the oldest other CPython from 3.9 on that can be found and runs."""
    for minor in (9, 10, 12, 13, 14):
        program = shutil.which(f"python3.{minor}")
        if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return [sys.executable, program]
    return [sys.executable]


def talk(
    python: str, folder: Path, config: dict[str, object], *jobs: object
) -> list[dict[str, object]]:
    read, write = os.pipe()
    lines = "".join(json.dumps(line) + "\n" for line in (config, *jobs))
    with open(read, "rb") as replies:
        process = subprocess.Popen(
            [python, str(HOST)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[write],
            cwd=folder,
            env={"PROOFRIG_REPLY_FD": str(write), "PATH": os.environ["PATH"]},
        )
        os.close(write)
        assert process.stdin is not None
        process.stdin.write(lines.encode())
        process.stdin.flush()
        said = [json.loads(replies.readline()) for _ in range(1 + len(jobs))]
        _, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, b"")
    return said


def job(i: int, folder: Path) -> dict[str, object]:
    return {"i": i, "task": "t", "trial": f"c:{i}", "token": "k", "seed": i, "workdir": str(folder)}


@pytest.mark.parametrize("mode", ["isolated", "shared"])
@pytest.mark.parametrize("function", ["plain", "coroutine"])
def test_runs_on_every_python_from_3_9(tmp_path: Path, mode: str, function: str) -> None:
    (tmp_path / "old_agent.py").write_text(
        "def plain(task, seed): return [task, seed]\n"
        "async def coroutine(task, seed): return [task, seed]\n"
    )
    config = {
        "mode": mode,
        "target": f"old_agent:{function}",
        "paths": [str(tmp_path)],
        "cap": 100,
    }
    for python in pythons():
        ready, reply = talk(python, tmp_path, config, job(0, tmp_path))
        started = reply.pop("s")
        assert (ready, reply) == ({"ready": True}, {"i": 0, "a": '["t", 0]'}), python
        assert isinstance(started, int), python


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_is_old_enough_and_imports_only_the_standard_library(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names <= sys.stdlib_module_names


def test_an_isolated_trial_does_not_pay_for_what_it_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "lean.py").write_text(
        "import sys\ndef run(task): return sorted({'asyncio', 'inspect', 'typing', 'contextlib',"
        " 'traceback', 'subprocess', 'threading', 'ctypes'} & set(sys.modules))\n"
    )
    bare = subprocess.run(
        [sys.executable, "-c", "import json, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    config = {"mode": "isolated", "target": "lean:run", "paths": [str(tmp_path)], "cap": 1000}
    _, answer = talk(sys.executable, tmp_path, config, job(0, tmp_path))
    assert set(json.loads(str(answer["a"]))) <= set(bare)


def test_the_end_of_its_input_ends_a_shared_host(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef run(task): time.sleep(300)\n")
    config = {"mode": "shared", "target": "slow:run", "paths": [str(tmp_path)], "cap": 1000}
    assert talk(sys.executable, tmp_path, config) == [{"ready": True}]
