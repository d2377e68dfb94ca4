"""A root file system just large enough for boxes: this interpreter, what it loads, and busybox."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from proofrig.sandboxes.sandbox import Image

APPLETS = ("sh", "ls", "cat", "id", "sleep", "rm", "mkdir", "touch", "setsid", "env")
LEFT_OUT = ("test", "site-packages", "idlelib", "tkinter", "ensurepip", "config-*", "__pycache__")


def small_image(root: Path) -> Image:
    """The image, made in `root`, which is not there yet."""
    for folder in ("tmp", "etc", "proc", "sys", "dev", "run", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "bin").symlink_to("usr/bin")
    busybox = shutil.which("busybox")
    assert busybox is not None, "apt-get install busybox-static"
    shutil.copy(busybox, root / "usr/bin/busybox")
    for name in APPLETS:
        (root / "usr/bin" / name).symlink_to("busybox")
    interpreter = os.path.realpath(sys.executable)
    stdlib = sysconfig.get_path("stdlib")
    place = root / stdlib.lstrip("/")
    shutil.copytree(stdlib, place, ignore=shutil.ignore_patterns(*LEFT_OUT))
    programs = [interpreter, *map(str, Path(stdlib).glob("lib-dynload/*.so"))]
    said = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    for path in {interpreter, *re.findall(r"(/\S+) \(0x", said)}:
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for folder, _, _ in os.walk(root):  # whatever the modes on the host are
        os.chmod(folder, os.stat(folder).st_mode | 0o755)
    return Image(name="small", digest="small", root=str(root), interpreter=interpreter)
