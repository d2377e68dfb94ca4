"""What is ready for the next box, and that nothing is used twice."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from namespace_boxes import play, said, shell
from proofrig.sandboxes import keeper
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import Limits

pytestmark = pytest.mark.asyncio(loop_scope="module")


def helpers(sandbox: NamespaceSandbox) -> list[int]:
    """The children of the parent of boxes, when no box runs: who closes, who waits."""
    parent = keeper.tree(sandbox._linked().process.pid)[1]
    return [pid for pid in keeper.tree(parent)[1:] if keeper.parent_and_state(pid)[0] == parent]


async def ready(sandbox: NamespaceSandbox) -> list[int]:
    for _ in range(1000):
        if len(helpers(sandbox)) == 2:
            break
        await asyncio.sleep(0.01)
    return helpers(sandbox)


async def test_a_process_is_ready_and_used_once(namespace: NamespaceSandbox) -> None:
    closer, spare = await ready(namespace)
    network = os.readlink(f"/proc/{spare}/ns/net")
    assert network != os.readlink("/proc/self/ns/net")
    first = await said(namespace, shell("readlink /proc/self/ns/net"))
    second = await said(namespace, shell("readlink /proc/self/ns/net"))
    assert first.strip() == network
    assert second.strip() != network
    assert (await ready(namespace))[0] == closer
    assert spare not in await ready(namespace)


@pytest.mark.parametrize("which", [0, 1], ids=["closer", "spare"])
async def test_it_goes_on_without_a_helper(namespace: NamespaceSandbox, which: int) -> None:
    os.kill((await ready(namespace))[which], signal.SIGKILL)
    for number in range(2):
        assert await said(namespace, shell(f"echo {number}")) == f"{number}\n"


async def test_each_box_has_a_disk_of_its_own(namespace: NamespaceSandbox) -> None:
    """Of its size, and empty, whatever the one before asked for."""
    for size in (4 << 20, 4 << 20, 8 << 20, None, 4 << 20):
        limits = Limits(disk_bytes=size)
        await ready(namespace)
        what = shell(
            "ls -A ~ /tmp /var/tmp | grep -v :; head -c 6000000 /dev/zero > /tmp/x; exit 0"
        )
        exit, ended, box = await play(namespace, what, limits=limits)
        await box.close()
        assert exit.stdout.strip() == b""
        assert ended.usage.disk_full == (size == 4 << 20)
