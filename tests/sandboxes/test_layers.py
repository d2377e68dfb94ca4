"""A box's files, put together: what is found where, in real boxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from namespace_boxes import files, said, shell
from proofrig.sandboxes.namespace import NamespaceSandbox
from proofrig.sandboxes.sandbox import Limits, Shown

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_world_in_what_is_shown_and_the_other_way_round(
    namespace: NamespaceSandbox, tmp_path: Path
) -> None:
    """The inner one is seen at its place, whichever it is."""
    world = tmp_path / "kit" / "world"
    tool = world / "tool"
    tool.mkdir(parents=True)
    (tool / "file").write_text("tool\n")
    (tmp_path / "kit" / "file").write_text("kit\n")
    script = "cat ../file tool/file; echo x > new; echo x > tool/new; echo x > ../new; ls"
    seen = await said(
        namespace,
        shell(script, str(world)),
        world=str(world),
        shown=(Shown(str(tool)), Shown(str(tmp_path / "kit"))),
    )
    assert seen.startswith("kit\ntool\nnew\ntool\n")
    assert seen.count("Read-only file system") == 2
    assert "new" not in files(world)


async def test_a_world_with_a_difficult_name(namespace: NamespaceSandbox, tmp_path: Path) -> None:
    """What an overlay's options would take for their own."""
    world = tmp_path / "a:b,c=d e"
    world.mkdir()
    (world / "file").write_text("here")
    assert await said(namespace, shell("cat file", str(world)), world=str(world)) == "here"


@pytest.mark.parametrize("limits", [Limits(), Limits(disk_bytes=4 << 20)], ids=["plain", "limited"])
async def test_what_the_owner_alone_may_read(
    namespace: NamespaceSandbox, tmp_path: Path, limits: Limits
) -> None:
    """The box is not the runner, and reads and writes its world as the runner would."""
    world = tmp_path / "world"
    world.mkdir(mode=0o700)
    (world / "file").write_text("private\n")
    (world / "file").chmod(0o600)
    script = "cat file; echo more >> file; cat file; stat -c %a . file"
    seen = await said(namespace, shell(script, str(world)), world=str(world), limits=limits)
    assert seen == "private\nprivate\nmore\n700\n600\n"
    assert (world / "file").read_text() == "private\n"
