"""Commands in boxes of the namespace level, for tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.namespace_box import NamespaceBox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Ended, Exit

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="needs bwrap: apt-get install bubblewrap"
)


def files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*")}


def home() -> str:
    return os.environ["HOME"]


def command(argv: list[str], cwd: str = "/tmp", **changes: object) -> Command:
    env = {"PATH": "/usr/bin:/bin", "HOME": home()}
    settings: dict[str, object] = {"env": env, "timeout_s": 60.0, **changes}
    return Command(argv=argv, cwd=cwd, **settings)  # type: ignore[arg-type]


def shell(script: str, cwd: str = "/tmp", **changes: object) -> Command:
    return command(["sh", "-c", script], cwd, **changes)


async def play(
    sandbox: NamespaceSandbox, what: Command, **settings: object
) -> tuple[Exit, Ended, NamespaceBox]:
    """One command in a box of its own, which is killed then, but not closed."""
    box = await sandbox.start(BoxSettings(trial="t", marker="m", **settings))  # type: ignore[arg-type]
    try:
        exit = await (await box.exec(what)).wait()
        return exit, await box.kill(), box
    except BaseException:
        await box.close()
        raise


async def said(sandbox: NamespaceSandbox, what: Command, **settings: object) -> str:
    exit, _, box = await play(sandbox, what, **settings)
    await box.close()
    return (exit.stdout + exit.stderr).decode()
