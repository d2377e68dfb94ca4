"""Building an image, part by part, and finding one that is built.

    base    packages resolved, fetched, unpacked; Python compiled
    image   a copy of the base, the requirements, the disk
    boot    the kernel taken out of its package, the initial RAM disk

Rules:
1. A part that is there is not built again: other requirements take the base as it is, another
   first script of the guest changes only the boot.
2. What an image looks like does not depend on which parts were there.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from proofrig import sandboxes
from proofrig.images.debian import ESSENTIAL, Deb, Debian
from proofrig.images.disk import write_disk
from proofrig.images.initrd import initrd
from proofrig.images.kernel import modules, vmlinux
from proofrig.images.python import Python
from proofrig.images.recipe import Digests, Recipe, digests, this_platform
from proofrig.images.rootfs import open_up, take, unpack
from proofrig.images.store import Booted, Built, Store, bytes_below
from proofrig.images.tools import run
from proofrig.problems import shown_path
from proofrig.sandboxes.sandbox import Image, Unavailable

Progress = Callable[[str], None]  # called with the name of each step as it begins

INIT = Path(sandboxes.__file__).parent / "guest" / "init.sh"  # what a guest starts first
PACKAGES = ("usr-is-merged", "python3", "ca-certificates")  # besides the essential ones
MODULES = (
    *("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "virtio_rng"),
    *("squashfs", "overlay", "ext4"),
)
_PIP = "python3-pip-whl"


def find(recipe: Recipe, suite_dir: Path, store: Store | None = None) -> Image:
    """The image of a recipe. Raises Unavailable when it is not built, UsageError for a recipe
    that cannot be read."""
    store = store or Store()
    wanted = digests(recipe, suite_dir, INIT.read_bytes())
    image = store.image(wanted.image)
    if image is None or not (store.part("boots", wanted.boot) / "boot.json").is_file():
        what = "--plain" if recipe == Recipe() else shlex.quote(shown_path(suite_dir))
        part = "" if image is None else "the kernel of "
        raise Unavailable(
            f"{part}image {wanted.image[:12]} is not built; run `proofrig image build {what}`"
        )
    return _image(store, image, wanted)


def build(recipe: Recipe, suite_dir: Path, progress: Progress, store: Store | None = None) -> Image:
    """The image of a recipe, built where it is not there. Raises Unavailable with what failed,
    UsageError for a recipe that cannot be read."""
    store = store or Store()
    wanted = digests(recipe, suite_dir, INIT.read_bytes())
    progress("wait for other builders")
    with store.locked() as building:
        builder = _Builder(store, building, progress)
        if not (store.part("boots", wanted.boot) / "boot.json").is_file():
            builder.boot(wanted)
        image = store.image(wanted.image)
        if image is None:
            if not (store.part("bases", wanted.base) / "base.json").is_file():
                builder.base(recipe, wanted)
            image = builder.image(recipe, suite_dir, wanted)
    return _image(store, image, wanted)


def _image(store: Store, built: Built, wanted: Digests) -> Image:
    image, boot = store.part("images", wanted.image), store.part("boots", wanted.boot)
    return Image(
        name=built.name,
        digest=built.digest,
        root=str(image / "root"),
        disk=str(image / "disk.squashfs"),
        kernel=str(boot / "kernel"),
        initrd=str(boot / "initrd"),
        interpreter="/usr/bin/python3",
    )


def _name(recipe: Recipe, suite_dir: Path) -> str:
    """What people know an image by: the suite that it was built for first."""
    return "plain" if recipe == Recipe() else suite_dir.absolute().name


class _Builder:
    """The steps of one build, under the lock."""

    def __init__(self, store: Store, building: Path, progress: Progress) -> None:
        self._store = store
        self._building = building
        self._progress = progress
        self._platform = this_platform()
        self._debian: Debian | None = None

    @property
    def debian(self) -> Debian:
        """The packages, their lists read once per build."""
        if self._debian is None:
            self._progress("read lists of packages")
            self._debian = Debian(self._store.folder / "apt", self._platform)
            self._debian.update()
        return self._debian

    def base(self, recipe: Recipe, wanted: Digests) -> None:
        """Debian's packages, unpacked, and its Python, compiled."""
        debian = self.debian
        self._progress("fetch Debian packages")
        packages = debian.resolve([ESSENTIAL, *PACKAGES, *recipe.packages])
        files = debian.fetch(packages)
        self._progress(f"unpack {len(files)} packages")
        folder = self._building / "base"
        root = folder / "root"
        root.mkdir(parents=True)
        unpack(files, root)
        self._progress("compile Python's library")
        Python(root).compile()
        open_up(root)
        versions = {deb.name: deb.version for deb in packages}
        (folder / "base.json").write_bytes(msgspec.json.encode(versions))
        self._store.keep(folder, "bases", wanted.base)

    def image(self, recipe: Recipe, suite_dir: Path, wanted: Digests) -> Built:
        """A copy of the base with the requirements, as a folder and as a disk."""
        base = self._store.part("bases", wanted.base)
        folder = self._building / "image"
        folder.mkdir()
        run(["cp", "-a", "--reflink=auto", base / "root", folder], "copy Debian's files")
        python = Python(folder / "root")
        requirements = recipe.lines(suite_dir)
        if requirements:
            pip = self._pip()
            self._progress("install requirements")
            python.install(requirements, pip, self._building)
            python.compile()
        warm = list(python.modules_of(requirements) if recipe.warm is None else recipe.warm)
        open_up(folder / "root")
        self._progress("write the disk")
        write_disk(folder / "root", folder / "disk.squashfs")
        built = Built(
            name=_name(recipe, suite_dir),
            digest=wanted.image,
            base=wanted.base,
            release=self._platform.release,
            architecture=self._platform.architecture,
            built_s=time.time(),
            python=python.version,
            asked=[*recipe.packages, *(line.partition(" --")[0] for line in requirements)],
            debian=msgspec.json.decode((base / "base.json").read_bytes()),
            packages=python.installed(),
            warm=warm,
            bytes=bytes_below(folder),
        )
        (folder / "image.json").write_bytes(msgspec.json.encode(built))
        self._store.keep(folder, "images", wanted.image)
        return built

    def boot(self, wanted: Digests) -> None:
        """The kernel, and the RAM disk with the guest's first script."""
        debian = self.debian
        self._progress("fetch the kernel")
        kernel, busybox = self._kernel(), self._only("busybox-static")
        files = debian.fetch([kernel, busybox])
        self._progress("unpack the kernel")
        folder, unpacked = self._building / "boot", self._building / "kernel"
        for path in (folder, unpacked):
            path.mkdir()
        for file in files:
            take(file, unpacked)
        zipped = next((unpacked / "boot").glob("vmlinuz-*")).read_bytes()
        (folder / "kernel").write_bytes(vmlinux(zipped))
        below = next((unpacked / "lib/modules").iterdir())
        loaded = list(modules(below, MODULES))
        shell = next(unpacked.glob("**/bin/busybox")).read_bytes()
        (folder / "initrd").write_bytes(initrd(INIT.read_bytes(), shell, loaded))
        booted = Booted(
            digest=wanted.boot,
            kernel=f"{kernel.name} {kernel.version}",
            modules=[name for name, _ in loaded],
            bytes=bytes_below(folder),
        )
        (folder / "boot.json").write_bytes(msgspec.json.encode(booted))
        self._store.keep(folder, "boots", wanted.boot)
        shutil.rmtree(unpacked)

    def _kernel(self) -> Deb:
        """The package that the name of the newest kernel stands for."""
        newest = f"linux-image-cloud-{self._platform.architecture}"
        for deb in self.debian.resolve([newest]):
            if deb.name.startswith("linux-image-") and deb.name != newest:
                return deb
        raise Unavailable(f"images: expected {newest} to depend on a kernel; it does not")

    def _only(self, name: str) -> Deb:
        """A package without what it depends on."""
        return next(deb for deb in self.debian.resolve([name]) if deb.name == name)

    def _pip(self) -> Path:
        """Debian's pip, a wheel that runs as it is."""
        (file,) = self.debian.fetch([self._only(_PIP)])
        folder = self._building / "pip"
        folder.mkdir()
        take(file, folder)
        return next(folder.glob("usr/share/python-wheels/pip-*.whl"))
