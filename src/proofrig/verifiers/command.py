"""`command`: run a command on the world the agent left, and judge its exit code.

Rules:
1. It runs in a copy of the world, so that judging changes nothing and can be done again. Compiled
   Python (`__pycache__`) is left out of the copy: it could say other than the source beside it.
2. `add` lays files of the suite over the copy first: hidden tests, or the original ones.
3. Its environment is small and fixed, plus `env`; `python` is the interpreter proofrig runs on.
4. A trial that was kept apart is judged so: its files are the agent's work, and what runs them sees
   the copy and no network (a `namespace` box). The box ends with everything started in it.
   A command over `timeout_s` fails.
5. A command that cannot be started is a mistake of the case: not measured. One that the world
   should hold (`./run.sh`) and does not, fails.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from proofrig.errors import UsageError
from proofrig.sandboxes.sandbox import Command, Exit
from proofrig.verifiers._world import relative, world_of
from proofrig.verifiers.verifier import CUT, Evidence, Verdict, Verifier

STDOUT_CAP = 1_000_000  # bytes read into memory, of which the end is shown
STDERR_CAP = 64_000
_NEVER_COPIED = "__pycache__"


class CommandCheck(Verifier):
    """`run` (an argument list) ends with `exit` when run in the world."""

    type: Literal["command"] = "command"
    run: tuple[str, ...] = Field(min_length=1)
    exit: int | tuple[int, ...] = 0
    timeout_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    env: dict[str, str] = Field(default_factory=dict)
    add: dict[str, str] = Field(default_factory=dict)  # path in the world -> path in the suite

    @field_validator("add")
    @classmethod
    def _inside(cls, add: dict[str, str]) -> dict[str, str]:
        return {relative(path): source for path, source in add.items()}

    def needs(self) -> frozenset[str]:
        return frozenset({"world"})

    def verify(self, evidence: Evidence) -> Verdict:
        wanted = (self.exit,) if isinstance(self.exit, int) else self.exit
        expected = f"{' '.join(self.run)} to exit with {' or '.join(map(str, wanted))}"
        with tempfile.TemporaryDirectory(prefix="proofrig-verify-") as folder:
            home = Path(folder)
            copy = home / "world"
            _copy_world(world_of(evidence), copy)
            for path, source in self.add.items():
                _lay_over(copy / path, evidence.suite_dir / source, copy)
            program = self.run[0]
            if "/" in program and not os.path.isabs(program) and not (copy / program).exists():
                return self.verdict(False, expected=expected, got=f"{program} is absent")
            end = self._run(copy, home, evidence.level)
        got, why = _described(end, self.timeout_s)
        return self.verdict(end.code in wanted, expected=expected, got=got, why=why)

    def _run(self, copy: Path, home: Path, level: str) -> Exit:
        marker = uuid.uuid4().hex
        interpreter = os.path.dirname(sys.executable)
        env = {
            "PATH": os.pathsep.join((interpreter, os.environ.get("PATH", os.defpath))),
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "PROOFRIG_VERIFIER": marker,
            **self.env,
        }
        program = self.run[0]
        found = program if "/" in program else shutil.which(program, path=env["PATH"])
        if found is None:
            raise UsageError(f"expected the program {program!r}, found none on {env['PATH']}")
        command = Command(
            argv=[found, *self.run[1:]],
            env=env,
            cwd=str(copy),
            timeout_s=self.timeout_s,
            stdout_cap=STDOUT_CAP,
            stderr_cap=STDERR_CAP,
            marker=marker,
        )
        return _boxed(copy, command, apart=level != "process")


def _boxed(copy: Path, command: Command, *, apart: bool) -> Exit:
    """Run the command in a box and wait for its end, on an event loop of its own. `apart`: the box
    sees the copy, the programs and nothing else. Raises Unavailable where there are no such boxes.
    """
    import asyncio  # with the sandboxes, the costly imports; only a suite that runs commands pays
    from concurrent.futures import ThreadPoolExecutor

    from proofrig.sandboxes import make_sandbox
    from proofrig.sandboxes.programs import needed_by, outermost
    from proofrig.sandboxes.sandbox import BoxSettings, Image, Shown

    shown: list[str] = []
    if apart:
        shown = outermost(needed_by(sys.executable) | needed_by(command.argv[0]))
    settings = BoxSettings(
        trial=f"verify-{command.marker[:8]}",
        marker=command.marker,
        world=str(copy),
        shown=tuple(Shown(path) for path in shown),
    )

    async def run() -> Exit:
        sandbox = make_sandbox("namespace" if apart else "process")
        try:
            await sandbox.prepare(Image())
            box = await sandbox.start(settings)
            try:
                return await (await box.exec(command)).wait()
            finally:
                await box.close()
        finally:
            await sandbox.close()

    with ThreadPoolExecutor(1) as thread:  # the caller may be on an event loop already
        return thread.submit(asyncio.run, run()).result()


def _copy_world(world: Path, copy: Path) -> None:
    """Copy regular files, folders and links (as links); pipes and devices stay behind."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == _NEVER_COPIED or _odd(f"{folder}/{name}")]

    shutil.copytree(world, copy, symlinks=True, ignore=left_out)


def _odd(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _lay_over(target: Path, source: Path, copy: Path) -> None:
    """Put a file or folder of the suite in the place of what is there."""
    if not source.exists():
        raise UsageError(f"expected {source} of the suite under `add`, found none")
    for parent in reversed(target.relative_to(copy).parents[:-1]):  # no link may lead it astray
        if (copy / parent).is_symlink() or (copy / parent).is_file():
            (copy / parent).unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(_NEVER_COPIED))
    else:
        shutil.copy(source, target)


def _described(end: Exit, timeout_s: float) -> tuple[str, str]:
    """How it ended, and the last words of its output."""
    said = [
        f"{name} ends: {data.decode('utf-8', 'replace').strip()[-CUT:]}"
        for name, data in (("stdout", end.stdout), ("stderr", end.stderr))
        if data.strip()
    ]
    if end.timed_out:
        got = f"no end within {timeout_s:g} s"
    elif end.signal is not None:
        got = f"killed by signal {end.signal}"
    else:
        got = f"exit {end.code}"
    return got, "; ".join(said)
