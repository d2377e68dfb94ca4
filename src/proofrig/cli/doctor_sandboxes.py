"""The part of `proofrig doctor` about sandboxes: levels, limits, images, and what was left.

A level is shown by making a box of it and running a program there. A level that is not to be had is
no fault of the machine: only `process` is needed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofrig.cli.doctor import Check, Unwell
from proofrig.sandboxes.sandbox import (
    LEVELS,
    BoxSettings,
    Command,
    Image,
    Level,
    Limits,
    Unavailable,
)

if TYPE_CHECKING:
    from proofrig.sandboxes.sandbox import Sandbox

DEADLINE_S = 120.0  # for one level, a template of a vm included
WORD = "hello"


def _level(level: Level, root: Path, store: str) -> str:
    async def probe() -> str:
        from proofrig.sandboxes import make_sandbox

        sandbox = make_sandbox(level)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await _box(sandbox, _image(level))
        except TimeoutError:
            raise Unwell(f"no answer of a box within {DEADLINE_S:.0f} s") from None
        finally:
            await sandbox.close()

    return asyncio.run(probe())


async def _box(sandbox: Sandbox, image: Image) -> str:
    """Run a program in a box; what there is to say of it. Raises Unwell, Unavailable."""
    await sandbox.prepare(image)
    marker = secrets.token_hex(12)
    began = time.monotonic()
    box = await sandbox.start(BoxSettings(trial="doctor", marker=marker))
    try:
        env = {"PATH": "/usr/bin:/bin", "PROOFRIG_TOKEN": marker}
        argv = ["/bin/sh", "-c", f"echo {WORD}"]
        program = await box.exec(Command(argv=argv, env=env, cwd="/", marker=marker))
        end = await program.wait()
        took_ms = (time.monotonic() - began) * 1000
        await box.kill()
    finally:
        await box.close()
    if end.code != 0 or end.stdout.decode(errors="replace").strip() != WORD:
        raise Unwell(
            f"`echo {WORD}` in a box ended with {end.code or end.signal} and said "
            f"{end.stdout[-100:]!r} {end.stderr[-200:]!r}"
        )
    emulated = ", emulated (no KVM)" if sandbox.emulated else ""
    return f"a program ran in a fresh box in {took_ms:.0f} ms; limits {sandbox.held}{emulated}"


def _image(level: Level) -> Image:
    """What a box of the level is made from: the programs of this machine, where it can use them,
    else an image that asks for nothing special. Raises Unavailable when that is not built."""
    if level in ("process", "namespace"):
        return Image()
    from proofrig.images import Recipe, find

    return find(Recipe(), Path())


def _groups(root: Path, store: str) -> str:
    from proofrig.sandboxes.cgroups import Group, probe

    version, where = probe()
    if not version:
        raise Unwell(where)
    try:
        Group.make("doctor", Limits(cpus=1)).remove()
        enforced = "memory, processes and cpus are enforced"
    except Unavailable as error:
        enforced = f"memory and processes are enforced; {error}"
    return f"version {version} at {where}: {enforced}"


def _kvm(root: Path, store: str) -> str:
    from proofrig.sandboxes.qemu import kvm
    from proofrig.sandboxes.vm import user_cache

    if why := kvm.refused():
        raise Unwell(
            f"{why}; boxes of vm are emulated, which is slow: load the module kvm, or join the "
            "group kvm"
        )
    why_not = kvm.remembered(user_cache() / "vm")
    if why_not is None:
        raise Unwell(
            f"{kvm.DEVICE} opens; that guests run there is only shown by the first box of vm"
        )
    if why_not:
        raise Unwell(f"{kvm.DEVICE} opens, but guests do not run, so vm is emulated: {why_not}")
    return "a guest came up under it"


def _images(root: Path, store: str) -> str:
    from proofrig.images.store import Store

    images = Store()
    built = images.images()
    if not built:
        raise Unwell(f"none built in {images.folder}: run `proofrig image build --plain`")
    newest = ", ".join(f"{image.short} ({image.bytes / 1e6:.0f} MB)" for image in built[:3])
    return f"{len(built)} in {images.folder}: {newest}{', ...' if len(built) > 3 else ''}"


def _leftovers(root: Path, store: str) -> str:
    from proofrig.sandboxes import leftovers

    left = leftovers.dead()
    if left:
        kinds = [leftover.kind for leftover in left]
        counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        raise Unwell(f"killed runs left: {counts}; remove it with `proofrig doctor --clean`")
    return "none of killed runs"


def clean_up(as_json: bool, base: Path | None = None) -> int:
    """Remove what dead runners left and print it; 6 when something stays. `base`: see
    `leftovers.clean`."""
    from proofrig.sandboxes import leftovers

    cleaned = leftovers.clean(base)
    if as_json:
        import json

        click.echo(
            json.dumps([{**item.leftover._asdict(), "error": item.error} for item in cleaned])
        )
    elif not cleaned:
        click.echo("Nothing was left.")
    else:
        for item in cleaned:
            state, colour = ("FAIL", "red") if item.error else ("gone", "green")
            said = f": {item.error}" if item.error else ""
            kind, what, _ = item.leftover
            click.echo(f"{click.style(state, fg=colour)} {kind:<12} {what}{said}")
    return 6 if any(item.error for item in cleaned) else 0


CHECKS = [
    *(
        Check(
            f"sandbox: {level}",
            "sandboxes",
            partial(_level, level),
            otherwise="FAIL" if level == "process" else "no",
        )
        for level in LEVELS
    ),
    Check("cgroups", "sandboxes", _groups, otherwise="no"),
    Check("kvm", "sandboxes", _kvm, otherwise="no"),
    Check("images", "sandboxes", _images, otherwise="no"),
    Check("leftovers", "sandboxes", _leftovers, otherwise="look"),
]
