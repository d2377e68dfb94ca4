"""What becomes bwrap: what it is by the time that it does."""

from __future__ import annotations

import asyncio

import pytest

from namespace_boxes import command, shell
from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, keeper
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import BoxSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")
needs_limits = pytest.mark.skipif(not cgroups.probe()[0], reason="needs cgroups (root, or v2)")


@needs_limits
async def test_it_is_in_the_group_with_all_it_starts(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    program = await box.exec(shell("sleep 99"))
    outer = keeper.parent_and_state(program.pid)[0]
    assert box._group is not None
    assert {outer, *keeper.tree(program.pid)} <= set(box._group.pids())
    await box.close()


async def test_a_port_twice_is_an_error_that_says_so(namespace: NamespaceSandbox) -> None:
    box = await namespace.start(BoxSettings(trial="t", marker="m", ports=(8080, 8080)))
    with pytest.raises(SandboxError, match=r"Address already in use: '127\.0\.0\.1:8080'"):
        await box.exec(shell("true"))
    await box.close()


async def test_its_ports_are_there_before_it_is(namespace: NamespaceSandbox) -> None:
    """The first thing that a program does may be to call the rig."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        writer.close()

    rig = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = rig.sockets[0].getsockname()[1]
    box = await namespace.start(BoxSettings(trial="t", marker="m", ports=(port,)))
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3"
    exit = await (await box.exec(command(["bash", "-c", script]))).wait()
    await box.close()
    rig.close()
    await rig.wait_closed()
    assert exit.stdout == b"here"
