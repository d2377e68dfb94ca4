"""What bwrap is told, and what is found in a box before anything is started in it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from namespace_boxes import needs_bwrap
from proofrig.errors import SandboxError
from proofrig.sandboxes import bubblewrap, keeper, leftovers
from proofrig.sandboxes.box_files import BoxFiles
from proofrig.sandboxes.keeping import KeptProgram
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.pipes import Pipes
from proofrig.sandboxes.sandbox import BoxSettings, Command, Image


def command(program: str, cwd: str = "/", path: str = "/bin:/opt") -> Command:
    return Command(argv=[program], env={"PATH": path}, cwd=cwd)


def test_the_environment_is_no_argument_of_a_command_line() -> None:
    what = Command(argv=["x"], env={"KEY": "secret"}, cwd="/w")
    files = BoxFiles(
        name="b",
        at=Path("/at"),
        uid=1,
        ids=(0, 7),
        lower=Path("/"),
        in_dev=("/dev/shm/w",),
        room=None,
        bwrap="",
        filter="",
        watched="",
    )
    told = bubblewrap.options(what, files, reply=True)
    joined = " ".join(told)
    assert "--clearenv --setenv KEY secret --setenv PROOFRIG_REPLY_FD 3 " in joined
    assert "--uid 0 --gid 7 " in joined and "--chdir /w " in joined
    assert "/dev/shm --bind /at/root/dev/shm/w /dev/shm/w --remount-ro /dev " in joined
    assert "PROOFRIG_REPLY_FD" not in bubblewrap.options(what, files, reply=False)
    assert what.env == {"KEY": "secret"}


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (command("tool"), ""),
        (command("/bin/tool"), ""),
        (command("./tool", "/bin"), ""),
        (command("linked"), ""),
        (command("/proc/self/exe"), ""),
        (command("tool", "/none"), "no folder /none"),
        (command("tool", "/bin/tool"), "no folder /bin/tool"),
        (command("data"), "no program 'data'"),
        (command("out"), "no program 'out'"),
        (command("tool", path="/opt"), "no program 'tool'"),
    ],
    ids=["name", "path", "relative", "link", "proc", "cwd", "file", "mode", "outside", "search"],
)
def test_what_is_missing(tmp_path: Path, what: Command, reason: str) -> None:
    """Links are those of the box: `/bin/tool` is its own, and none leads out of it."""
    (tmp_path / "bin").mkdir()
    for name, mode in (("tool", 0o755), ("data", 0o644)):
        (tmp_path / "bin" / name).write_text("")
        (tmp_path / "bin" / name).chmod(mode)
    (tmp_path / "bin" / "linked").symlink_to("/bin/tool")
    (tmp_path / "bin" / "out").symlink_to("/usr/bin/env")
    root = os.open(tmp_path, os.O_PATH)
    found = bubblewrap.missing(root, what)
    os.close(root)
    assert found == (f"the box has {reason}" if reason else "")


@needs_bwrap
async def test_a_box_dies_with_its_keeper() -> None:
    """Also one that nobody has let go of yet."""
    sandbox = NamespaceSandbox()
    await sandbox.prepare(Image())
    box = await sandbox.start(BoxSettings(trial="t", marker="m"))
    what = Command(["sleep", "99"], {"PATH": "/usr/bin"}, "/")
    link = box._link
    pipes = Pipes.open(what, keep_stdin=False, on_reply=None)
    program = KeptProgram(next(link.keys), what, link, pipes)
    live = await box._begin(program, reply=False)
    assert keeper.parent_and_state(program.pid)[1] not in ("", "Z", "X")
    os.kill(link.process.pid, signal.SIGKILL)
    with pytest.raises(SandboxError, match="keeper"):
        await program.wait()
    for _ in range(1000):
        if keeper.parent_and_state(program.pid)[1] in ("", "Z", "X"):
            break
        await asyncio.sleep(0.01)
    assert keeper.parent_and_state(program.pid)[1] in ("", "Z", "X")
    for each in (live.calls, live.watch, live.planted):
        each.close()
    await sandbox.close()
    leftovers.leave()
