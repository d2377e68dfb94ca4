"""`proofrig image`: what lies around the agent in a box: build it, look at it, take it away."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from proofrig.images import Built, Recipe

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_IMAGE = click.argument("image")
WORTH_A_LINE_S = 0.1
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@click.group("image")
def command() -> None:
    """Look after images: Debian packages and Python requirements around the agent in a box.

    IMAGE is an image's name, or the beginning of its digest. Images are kept in $PROOFRIG_CACHE,
    else in ~/.cache/proofrig.
    """


@command.command("build")
@click.argument("suite", type=click.Path(path_type=Path), default=Path())
@click.option("--plain", is_flag=True, help="The image of suites that say nothing of one.")
@_JSON
def build_command(suite: Path, plain: bool, as_json: bool) -> None:
    """Build the image that SUITE asks for (a file or a folder; default: here).

    What is built already is not built again. Needs apt-get and mksquashfs, and no rights.
    """
    from proofrig.images import Recipe, build

    recipe, folder = (Recipe(), Path()) if plain else _of(suite)
    with Steps() as steps:
        image = build(recipe, folder, steps.begin)
    if as_json:
        _print_json(image)
    else:
        click.echo(f"image {image.digest[:12]} ({image.name}) is in {Path(image.root).parent}")


@command.command("list")
@_JSON
def list_command(as_json: bool) -> None:
    """List the images of this user, newest first."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from proofrig.images.store import Store
    from proofrig.reports.console import make_console

    store = Store()
    images = store.images()
    if as_json:
        _print_json(images)
    elif not images:
        click.echo("No images yet. Begin with: proofrig image build SUITE")
    else:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
        for name in ("Image", "Digest", "Size", "Python", "Age", "Holds"):
            table.add_column(name, justify="right" if name in ("Size", "Age") else "left")
        for image in images:
            held = ", ".join(image.asked) or "Debian and Python"
            size = f"{image.bytes / 1e6:.0f} MB"
            table.add_row(image.name, image.short, size, image.python, _age(image), held)
        make_console().print(table)


@command.command("show")
@_IMAGE
@_JSON
def show_command(image: str, as_json: bool) -> None:
    """Show what IMAGE holds, to the version."""
    from proofrig.images.store import Store
    from proofrig.reports.words import plural

    store = Store()
    built = store.named(image)
    if as_json:
        _print_json(built)
        return
    packages = ", ".join(f"{name} {version}" for name, version in built.packages.items())
    facts = {
        "Digest": built.digest,
        "Built": f"{_age(built)} ago, on {built.release} {built.architecture}",
        "Size": f"{built.bytes / 1e6:.0f} MB in {store.part('images', built.digest)}",
        "Python": built.python,
        "Warm": ", ".join(built.warm) or "nothing",
        "Packages": packages or "none besides the standard library",
        "Debian": f"{plural(len(built.debian), 'package')}; --json lists them",
    }
    click.echo(built.name)
    for name, text in facts.items():
        click.echo(f"  {name:<10}{text}")


@command.command("remove")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option("--all", "everything", is_flag=True, help="All of them, and what was downloaded.")
def remove_command(images: tuple[str, ...], everything: bool) -> None:
    """Take images away. No run may be using them."""
    from proofrig.images.store import Store

    if bool(images) == everything:
        raise click.UsageError("expected images to remove, or --all")
    store = Store()
    if everything:
        store.clear()
        click.echo(f"removed all that was in {store.folder}")
    for built in [store.named(name) for name in images]:
        store.remove(built)
        click.echo(f"removed image {built.short} ({built.name})")


class Steps:
    """Shows the steps of a build on standard error: a line for each that is over, and on a
    terminal a live one for the one that is under way."""

    def __init__(self) -> None:
        self._name = ""
        self._began = 0.0
        self._live: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console

            self._live = self._open.enter_context(Console(stderr=True).status(""))
        return self

    def begin(self, name: str) -> None:
        """The step `name` begins, and the one before is over."""
        self._end()
        self._name, self._began = name, time.monotonic()
        if self._live is not None:
            self._live.update(name)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._open.close()
        if error is None:
            self._end()

    def _end(self) -> None:
        took = time.monotonic() - self._began
        if self._name and took >= WORTH_A_LINE_S:
            click.echo(f"{took:6.1f} s  {self._name}", err=True)


def _of(suite: Path) -> tuple[Recipe, Path]:
    """The recipe of a suite, and the folder that its file names are relative to."""
    from proofrig.suites import load_suite

    loaded = load_suite(suite)
    return loaded.sandbox.image, loaded.dir


def _age(image: Built) -> str:
    """How long ago it was built."""
    seconds = max(0.0, time.time() - image.built_s)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _print_json(value: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
