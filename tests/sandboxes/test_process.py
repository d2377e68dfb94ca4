"""Boxes of the process level: what they tell of what ran in them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes.process import ProcessBox, ProcessSandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command, Exit, Image, Limits, Unavailable

MB = 1 << 20


@pytest.fixture
async def sandbox() -> AsyncIterator[ProcessSandbox]:
    made = ProcessSandbox()
    assert await made.prepare(Image()) == "host"
    yield made
    await made.close()


async def python(box: ProcessBox, code: str) -> Exit:
    argv = [sys.executable, "-I", "-c", code]
    env = {"PROOFRIG_TOKEN": box.settings.marker}
    cwd = box.settings.world or "/"
    command = Command(argv=argv, env=env, cwd=cwd, timeout_s=20, marker=box.settings.marker)
    return await (await box.exec(command)).wait()


async def test_what_ran_is_accounted_for(sandbox: ProcessSandbox) -> None:
    box = await sandbox.start(BoxSettings(trial="t", marker="accounted-for"))
    hold = "b = bytearray(60 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1"
    assert (await python(box, f"{hold}\nimport time\ntime.sleep(.3)")).code == 0
    ended = await box.kill()
    assert (ended.level, ended.held, ended.by, ended.broke) == ("process", "advisory", "", ())
    assert (ended.usage.memory_anon_peak_bytes or 0) > 55 * MB
    assert (ended.usage.cpu_ms or 0) > 0
    assert await box.kill() is ended
    await box.close()


@pytest.mark.parametrize(
    ("limits", "code", "broke"),
    [
        (
            Limits(memory_bytes=64 * MB),
            "b = bytearray(200 << 20); b[::4096] = b'1' * 51200",
            "memory",
        ),
        (Limits(cpu_ms=200), "while True: pass", "cpu"),
        (Limits(open_files=32), "l = [open('/dev/null') for _ in range(64)]", "open_files"),
        (
            Limits(processes=3),
            "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, "
            "args=(30,), daemon=True).start()\ntime.sleep(30)",
            "processes",
        ),
    ],
)
async def test_a_limit_that_is_seen_to_be_passed_ends_the_box(
    limits: Limits, code: str, broke: str, sandbox: ProcessSandbox
) -> None:
    box = await sandbox.start(BoxSettings(trial="t", marker=f"over-{broke}", limits=limits))
    exit = await python(box, f"{code}\nimport time\ntime.sleep(30)")
    ended = await box.kill()
    assert (exit.stopped, ended.broke, ended.by) == (True, (broke,), broke)


async def test_a_crash_breaks_no_limit(sandbox: ProcessSandbox) -> None:
    limits = Limits(memory_bytes=512 * MB, cpu_ms=10_000)
    box = await sandbox.start(BoxSettings(trial="t", marker="crash", limits=limits))
    exit = await python(box, "import os; os.kill(os.getpid(), 9)")
    ended = await box.kill()
    assert (exit.signal, ended.broke, ended.by) == (9, (), "")


async def test_changes_are_those_of_the_world(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    for name in ("kept", "edited", "gone"):
        (tmp_path / name).write_text(name)
    box = await sandbox.start(BoxSettings(trial="t", marker="w", world=str(tmp_path)))
    await python(
        box, "import os; open('edited','a').write('!'); open('new','w'); os.unlink('gone')"
    )
    await box.kill()
    changes = await box.changes()
    assert [(Path(one.path).name, one.change) for one in changes.entries] == [
        ("edited", "changed"),
        ("gone", "deleted"),
        ("new", "added"),
    ]
    assert changes.within == str(tmp_path)


async def test_files_are_put_and_got(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    box = await sandbox.start(BoxSettings(trial="t", marker="f"))
    await box.put(str(tmp_path / "a" / "b"), b"hello", 0o600)
    assert await box.get(str(tmp_path / "a" / "b"), 3) == b"hel"
    with pytest.raises(FileNotFoundError):
        await box.get(str(tmp_path / "none"), 3)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    with pytest.raises(SandboxError, match="cannot read"):
        await box.get(str(tmp_path / "link"), 3)


async def test_an_image_is_refused_with_what_to_ask_for(sandbox: ProcessSandbox) -> None:
    with pytest.raises(Unavailable, match="--isolation=namespace"):
        await sandbox.prepare(Image(name="python", root="/somewhere"))
