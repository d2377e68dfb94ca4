"""A whole image, from this machine's Debian sources and a wheel, and what of it is built again."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_parts import needs_debian, needs_squashfs, wheel
from proofrig.images.build import INIT, build, find
from proofrig.images.recipe import Recipe, digests
from proofrig.images.store import Store
from proofrig.sandboxes.sandbox import Image, Unavailable

pytestmark = [
    needs_debian,
    needs_squashfs,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("bwrap") is None,
        reason="bubblewrap is not installed (Debian: apt-get install bubblewrap)",
    ),
]

GREETER = {
    "greeter/__init__.py": "def main():\n    print('greeted')\n",
    "greeter/broken.py": "this is no Python\n",
}
RECIPE = Recipe(requirements=("greeter==1.0 # ours",))


class Made:
    """An image, its store, and the steps it took."""

    def __init__(self, folder: Path, suite_dir: Path) -> None:
        self.store, self.suite_dir = Store(folder), suite_dir
        self.image, self.steps = self.again(RECIPE)

    def again(self, recipe: Recipe) -> tuple[Image, list[str]]:
        steps: list[str] = []
        return build(recipe, self.suite_dir, steps.append, self.store), steps

    def run(self, *argv: str) -> str:
        """The output of a program in the image, which it cannot write to."""
        box = ["bwrap", "--unshare-all", "--ro-bind", self.image.root, "/", "--proc", "/proc"]
        box += ["--dev", "/dev", "--tmpfs", "/tmp", "--clearenv", "--setenv", "PATH", "/usr/bin"]
        ended = subprocess.run([*box, *argv], check=True, capture_output=True, text=True)
        return ended.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("images")
    (folder / "wheels").mkdir()
    wheel(folder / "wheels", "greeter", GREETER, "greet = greeter:main")
    (folder / "desk").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder / "wheels"))
        yield Made(folder / "cache", folder / "desk")
    shutil.rmtree(folder)


def test_an_image_runs_python_and_what_was_required(made: Made) -> None:
    code = "import ssl, greeter; print(len(ssl.create_default_context().get_ca_certs()) > 50)"
    assert made.run(made.image.interpreter, "-c", code) == "True"
    assert made.run("sh", "-c", "/usr/local/bin/greet | awk '{print $1}'") == "greeted"


def test_modules_are_compiled_as_they_lie_in_the_box(made: Made) -> None:
    code = "import json, greeter; print(json.__cached__, greeter.main.__code__.co_filename)"
    cached, file = made.run(made.image.interpreter, "-c", code).split()
    assert Path(made.image.root + cached).is_file()
    assert made.image.root.encode() not in Path(made.image.root + cached).read_bytes()
    assert file.startswith("/usr/local/lib/python3")


def test_everybody_may_read_it_and_nobody_gains(made: Made) -> None:
    paths = [path for path in Path(made.image.root).rglob("*") if not path.is_symlink()]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    assert len(modes) > 1000
    assert [mode for mode in modes if mode & 0o6000 or not mode & 0o004] == []


def test_a_vm_finds_what_it_boots(made: Made) -> None:
    starts = [Path(file).read_bytes() for file in (made.image.disk, made.image.initrd)]
    assert starts[0].startswith(b"hsqs") and starts[1].startswith(b"070701")
    assert INIT.read_bytes() in starts[1]
    assert b"virtio_blk.ko\0" in starts[1] and b"squashfs.ko\0" in starts[1]
    assert Path(made.image.kernel).stat().st_size > 5_000_000


def test_what_is_in_it_is_written_down(made: Made) -> None:
    built = made.store.named("desk")
    assert built.packages == {"greeter": "1.0"} and built.asked == ["greeter==1.0"]
    assert built.warm == ["greeter"]
    assert {"python3", "libc6", "ca-certificates"} <= built.debian.keys()
    assert built.bytes > 100e6 and built.python.startswith("3.")


def test_what_is_there_is_found_and_not_built_again(made: Made) -> None:
    image, steps = made.again(RECIPE)
    assert image == made.image == find(RECIPE, made.suite_dir, made.store)
    assert steps == ["wait for other builders"] and len(made.steps) > 5


def test_other_requirements_take_the_base_as_it_is(made: Made) -> None:
    plain, steps = made.again(Recipe())
    assert steps == ["wait for other builders", "write the disk"]
    assert (plain.name, plain.kernel) == ("plain", made.image.kernel)
    assert not list(Path(plain.root).rglob("greeter*"))
    made.store.remove(made.store.named("plain"))
    assert find(RECIPE, made.suite_dir, made.store) == made.image


def test_a_package_that_nobody_has_leaves_nothing(made: Made) -> None:
    with pytest.raises(Unavailable, match=r"(?s)install requirements; .*nobody-has-this"):
        made.again(Recipe(requirements=("nobody-has-this",)))
    assert [built.name for built in made.store.images()] == ["desk"]


@pytest.mark.parametrize(("recipe", "asked"), [(RECIPE, "{}"), (Recipe(), "--plain")])
def test_what_is_not_built_says_how_to(tmp_path: Path, recipe: Recipe, asked: str) -> None:
    asked = asked.format(tmp_path)
    digest = digests(recipe, tmp_path, INIT.read_bytes()).image[:12]
    said = f"image {digest} is not built; run `proofrig image build {asked}`"
    with pytest.raises(Unavailable, match=said):
        find(recipe, tmp_path, Store(tmp_path))
