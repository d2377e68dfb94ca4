"""The parent of boxes: what it is, and what it does about what it cannot do."""

from __future__ import annotations

import os

import pytest

from namespace_boxes import play, shell
from proofrig.errors import SandboxError
from proofrig.sandboxes import keeper
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import BoxSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


def namespace_of(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


async def test_it_is_in_namespaces_of_its_own(namespace: NamespaceSandbox) -> None:
    """So that mounts are seen by nobody else, and nothing outlives it."""
    box = await namespace.start(BoxSettings(trial="t", marker="m"))
    program = await box.exec(shell("sleep 99"))
    outer = box._link.process.pid
    first = keeper.tree(outer)[1]
    own = os.getpid()
    assert namespace_of(first, "pid") != namespace_of(own, "pid")
    assert namespace_of(first, "mnt") != namespace_of(own, "mnt")
    assert namespace_of(program.pid, "pid") not in (namespace_of(first, "pid"),)
    assert namespace_of(program.pid, "net") != namespace_of(own, "net")
    await box.close()


async def test_a_box_that_cannot_be_put_together(namespace: NamespaceSandbox) -> None:
    """It says why, and goes on with the next."""
    link = namespace._linked()
    with pytest.raises(SandboxError, match="No such file or directory: '/no/such/volume'"):
        await link.build(
            "broken",
            {"at": "/no/such", "uid": 1, "lower": "/", "room": None, "binds": [], "hidden": []},
        )
    exit, _, box = await play(namespace, shell("echo next"))
    await box.close()
    assert exit.stdout == b"next\n"


@pytest.mark.parametrize(
    ("script", "strays"),
    [("true", 0), ("sleep 99 & true", 1), ("(sleep 99 & sleep 99 & sleep 99 &)", 3)],
    ids=["none", "child", "orphans"],
)
async def test_what_a_command_left_is_counted(
    namespace: NamespaceSandbox, script: str, strays: int
) -> None:
    exit, ended, box = await play(namespace, shell(script))
    await box.close()
    assert (exit.code, exit.strays, ended.strays) == (0, strays, strays)
