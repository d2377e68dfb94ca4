"""The `gvisor` level: a kernel of its own in user space (runsc), between the box and the host's.

Rules:
1. Files are served from outside by runsc's own file server, so that what a box writes lands in
   the layers, as at the other levels. No listener can be planted in its network, and no refused
   attempt seen.
2. Memory and processor time are those of the whole sandbox, runsc's kernel included: some 30 MB.
   The time that it takes to start is not counted. A process of the box is several threads of the
   host: so many are let in, and how many processes there were nobody can tell.
3. Older kernels of runsc refuse a flag with which newer programs look at files (AT_NO_AUTOMOUNT):
   `ls` and `stat` of a current distribution fail. Shown by running `ls`, and mended with the
   host's busybox in their place; the key says so.
"""

from __future__ import annotations

import os
import re
import resource
import shutil

from proofrig.errors import SandboxError
from proofrig.sandboxes.bundle import CONFIG, config
from proofrig.sandboxes.contained import ContainedBox, ContainedSandbox
from proofrig.sandboxes.engine import said
from proofrig.sandboxes.sandbox import Command, Held, Image, Level, Unavailable
from proofrig.sandboxes.scene import BOX_UID, ROOT, Layout, Mount, Scene

BUNDLE = "/run/bundle"
PATH = "/usr/bin:/bin"
OUTDATED = ("ls", "dir", "vdir", "stat")
FILES = 4096  # open files of a process, where no limit is asked for


class Runsc:
    """The command line of runsc, as its version has it. `check` comes first."""

    level: Level = "gvisor"
    plants = False
    whole = True
    held: Held = "none"

    def __init__(self) -> None:
        self._flags: list[str] = []
        self.mended: list[Mount] = []

    async def check(self, image: Image) -> str:
        if shutil.which("runsc") is None:
            raise Unavailable(
                "runsc is not on the PATH: `apt-get install runsc`, or see "
                "https://gvisor.dev/docs/user_guide/install/"
            )
        self._flags = flags(await said(["runsc", "flags"]))
        version = re.search(r"version (\S+)", await said(["runsc", "--version"]))
        return f"runsc-{version[1] if version else 'unknown'}"

    def uid(self) -> int:
        return BOX_UID if os.geteuid() == 0 else 0

    def scene(self, layout: Layout) -> Scene:
        rootless = [] if layout.as_root else ["--rootless"]
        argv = ["runsc", "--root=/run/runsc", *self._flags, *rootless]
        argv += ["run", f"--bundle={BUNDLE}", layout.name]
        asked = layout.settings.limits.open_files or FILES
        most = min(asked, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        bundle = config(layout.argv, layout.uid, ROOT, most)
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/run"}
        return Scene(argv, env, {f"{BUNDLE}/{CONFIG}": bundle}, self.mended, serves=True)

    def mend(self, image: Image) -> None:
        """From now on busybox stands for programs that fail here. Raises SandboxError."""
        busybox = shutil.which("busybox")
        if busybox is None:
            raise SandboxError(
                "this runsc is too old for `ls` and `stat` of the image: install a newer one, or "
                "`apt-get install busybox-static`, which then stands for them"
            )
        self.mended = [
            Mount(busybox, path, mapped=False)
            for path in (f"/usr/bin/{name}" for name in OUTDATED)
            if os.path.isfile(image.root + path)
        ]


def flags(known: str) -> list[str]:
    """The global flags, for a runsc whose `runsc flags` says `known`."""
    words = ["--network=none", "--ignore-cgroups"]
    words.append("--platform=systrap" if "systrap" in known else "--platform=ptrace")
    words.append("--host-uds=open" if "-host-uds value" in known else "--fsgofer-host-uds")
    if "-overlay2" in known:
        words.append("--overlay2=none")  # what is written has to reach our layers
    return words


class GvisorSandbox(ContainedSandbox):
    """Boxes with a kernel of their own."""

    def __init__(self) -> None:
        self._runsc = Runsc()
        self._lists = True  # whether `ls` of the image works
        super().__init__(self._runsc)

    async def prepare(self, image: Image) -> str:
        key = await super().prepare(image)
        return f"{key}-busybox" if self._runsc.mended else key

    async def _show(self) -> None:
        self._runsc.mended = []
        await super()._show()
        if self._lists:
            return
        self._runsc.mend(self.image)
        await super()._show()
        if not self._lists:
            raise SandboxError("`ls` does not work in a box: install a newer runsc")

    async def _look_around(self, box: ContainedBox) -> None:
        await super()._look_around(box)
        command = Command(["/bin/sh", "-c", "ls -ld /"], {"PATH": PATH}, "/")
        self._lists = (await (await box.exec(command)).wait()).code == 0
