"""What is ready for the next box, and that nothing is used twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from namespace_boxes import play, said, shell
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import BoxSettings, Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")


def helpers(sandbox: NamespaceSandbox) -> list[int]:
    """The children of the parent of boxes, when no box runs: who closes, who waits."""
    outer = sandbox._linked().process.pid
    return [pid for parent in children(outer) for pid in children(parent)]


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def held_by(pid: int) -> list[str]:
    """What it has open of what makes a box."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return [name for name in found if name.startswith(("mnt:", "pipe:", "user:"))]


async def ready(sandbox: NamespaceSandbox) -> list[int]:
    for _ in range(1000):
        if len(helpers(sandbox)) == 2:
            break
        await asyncio.sleep(0.01)
    return helpers(sandbox)


async def test_a_process_is_ready_and_used_once(namespace: NamespaceSandbox) -> None:
    closer, spare = await ready(namespace)
    network = own = os.readlink("/proc/self/ns/net")
    while network == own:
        network = os.readlink(f"/proc/{spare}/ns/net")
    first = await said(namespace, shell("readlink /proc/self/ns/net"))
    second = await said(namespace, shell("readlink /proc/self/ns/net"))
    assert first.strip() == network
    assert second.strip() != network
    assert (await ready(namespace))[0] == closer
    assert spare not in await ready(namespace)


async def test_a_process_that_waits_holds_nothing_of_a_box(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    program = await box.exec(shell("cat"), keep_stdin=True)
    outer = children(namespace._linked().process.pid)[0]
    for _ in range(1000):
        waiting = [pid for pid in children(outer) if not children(pid)]
        held = [name for pid in waiting for name in held_by(pid)]
        if len(waiting) == 2 and not held:
            break
        await asyncio.sleep(0.01)
    assert (len(waiting), held) == (2, [])
    program.kill()
    await box.close()


async def test_each_box_has_a_disk_of_its_own(namespace: NamespaceSandbox) -> None:
    """Of its size, and empty, whatever the one before asked for."""
    for size in (4 << 20, 4 << 20, 8 << 20, None, 4 << 20):
        limits = Limits(disk_bytes=size)
        await ready(namespace)
        what = shell("ls -A ~ /var/tmp | grep -v :; head -c 6000000 /dev/zero > /tmp/x; exit 0")
        exit, ended, box = await play(namespace, what, limits=limits)
        await box.close()
        assert exit.stdout.strip() == b""
        assert ended.usage.disk_full == (size == 4 << 20)


@pytest.mark.parametrize("which", [1, 0], ids=["spare", "closer"])
async def test_it_goes_on_without_a_helper(namespace: NamespaceSandbox, which: int) -> None:
    victim = (await ready(namespace))[which]
    os.kill(victim, signal.SIGKILL)
    while victim in helpers(namespace):  # noqa: ASYNC110 - another process is at work
        await asyncio.sleep(0.01)
    for number in range(2):
        assert await said(namespace, shell(f"echo {number}")) == f"{number}\n"
