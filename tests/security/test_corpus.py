"""Every attack of the corpus, at every level that claims to stop it; and, where nothing stops it,
that it works."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from proofrig.sandboxes import leftovers, make_sandbox
from proofrig.sandboxes.sandbox import Level, Unavailable
from security.arena import MANY, Arena, Outcome, arena, attempt
from security.corpus import BOXES, CORPUS, NO_LIMITS, UNSEEN, rows
from security.levels import image_for

NAMES = {attack.name: attack for attack in CORPUS}


@contextlib.asynccontextmanager
async def scene_at(level: Level, folders: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    image = await asyncio.to_thread(image_for, level, folders)
    sandbox = make_sandbox(level)
    try:
        await sandbox.prepare(image)
        async with arena(sandbox, image) as made:
            yield made
    finally:
        await sandbox.close()
        leftovers.leave()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenes(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Callable[[Level], Awaitable[Arena]]]:
    """The scene of a level, made when the first attack asks for it. Then that of another ends."""
    made: dict[Level, Arena] = {}
    async with contextlib.AsyncExitStack() as stack:

        async def at(level: Level) -> Arena:
            if level not in made:
                made.clear()
                await stack.aclose()
                made[level] = await stack.enter_async_context(scene_at(level, tmp_path_factory))
            return made[level]

        yield at


@pytest.mark.timeout(300)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("level", "name"), rows())
async def test_attack(scenes: Callable[[Level], Awaitable[Arena]], level: Level, name: str) -> None:
    attack, scene = NAMES[name], await scenes(level)
    if level == "process":  # nothing is to hold it back
        attack = replace(attack, limits=NO_LIMITS)
    try:
        outcome = await attempt(scene, attack)
    except Unavailable as error:  # a limit that this user cannot have here
        assert os.geteuid() != 0, error
        pytest.skip(str(error))
    if level == "process":
        assert outcome.got_out, "the attack does not work even here: it shows nothing"
        return
    assert not outcome.got_out, outcome.left or outcome.said["detail"]
    nothing_changed_outside(scene, outcome)
    the_runner_is_well(scene)
    shows = {fact for fact in attack.shows if not fact.startswith(UNSEEN[level])}
    assert shows <= outcome.seen, (outcome.seen, outcome.ended)


def nothing_changed_outside(scene: Arena, outcome: Outcome) -> None:
    """The canaries are as they were, and nothing of the run's came into the world or the copies."""
    for name in ("canary", "shown"):
        assert (scene.folder / name / "file").read_text() == "untouched\n"
        assert set(os.listdir(scene.folder / name)) <= {"file", "socket"}
    secret = scene.secret.encode()
    assert not any(secret in data for data in outcome.kept)
    for folder, _, files in os.walk(outcome.world):
        for path in (os.path.join(folder, file) for file in files):
            status = os.lstat(path)
            assert os.path.islink(path) or os.path.isfile(path), f"{path} is special"
            if not os.path.islink(path):
                assert status.st_nlink == 1 and not status.st_mode & 0o6000, path
                with open(path, "rb") as file:
                    assert secret not in file.read(1 << 20), path


def the_runner_is_well(scene: Arena) -> None:
    """The rig, in this process, saw no more connections at once than a box may have."""
    assert scene.rig.most_at_once <= MANY
    assert len(os.listdir("/proc/self/fd")) < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4


def test_the_table_is_whole() -> None:
    """Each script is used, each attack is stopped by somebody."""
    from security.arena import SCRIPTS

    assert {attack.script for attack in CORPUS} == {path.stem for path in SCRIPTS.glob("*.py")}
    assert len(NAMES) == len(CORPUS)
    for attack in CORPUS:
        assert attack.stopped_by and attack.stopped_by <= BOXES
