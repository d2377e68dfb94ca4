"""A trial brings its box; an adapter that gets none makes one, which ends with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proofrig.agents.agent import Attempt
from proofrig.agents.boxes import Boxes
from proofrig.errors import SandboxError
from proofrig.sandboxes.process import ProcessSandbox
from proofrig.sandboxes.sandbox import BoxSettings, Command


async def test_an_attempt_without_a_box_gets_one_that_ends_with_it(
    sandbox: ProcessSandbox, attempt: Callable[..., Attempt]
) -> None:
    given = attempt()
    async with Boxes(sandbox).of(given) as box:
        assert (box.settings.trial, box.settings.marker) == (given.trial, given.token)
        sleeping = await box.exec(
            Command(argv=["sleep", "60"], env={"PATH": "/usr/bin:/bin"}, cwd="/", marker="m")
        )
    assert (await sleeping.wait()).stopped


async def test_a_box_that_is_brought_is_left_to_whoever_made_it(
    sandbox: ProcessSandbox, attempt: Callable[..., Attempt]
) -> None:
    mine = await sandbox.start(BoxSettings(trial="case:1", marker="mine"))
    async with Boxes(sandbox).of(attempt(box=mine)) as box:
        assert box is mine
        program = await box.exec(
            Command(argv=["sleep", "60"], env={"PATH": "/usr/bin:/bin"}, cwd="/", marker="mine")
        )
    assert not program.ended.done()  # type: ignore[attr-defined]
    ended = await mine.kill()
    assert ended.by == "kill"


async def test_what_all_boxes_have_is_handed_on(sandbox: ProcessSandbox) -> None:
    base = BoxSettings(trial="", marker="", ports=(1234,))
    box = await Boxes(sandbox, base).start("the look", "secret")
    assert box.settings == BoxSettings(trial="the look", marker="secret", ports=(1234,))
    with pytest.raises(SandboxError, match="no-such-program"):
        await box.exec(Command(argv=["no-such-program"], env={}, cwd="/"))
    await box.close()
