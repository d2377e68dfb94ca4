"""The command lines of podman and docker.

Rules:
1. A box has no network but its own `lo`, no capability, no way to get one, and no user of the host.
2. podman works in the stage, and keeps nothing outside: its state is in the stage's memory. It
   makes no groups; ours hold every level alike.
3. docker's daemon works outside. So it has the image under its digest, mounts what the box is
   shown, and the overlay of the world, as a volume. What a box changes elsewhere in its files
   nobody can tell then, and nobody can limit: a limit on disk is Unavailable. No machine with a
   docker daemon has run these tests: its lines are tested as values.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Sequence

from proofrig.errors import SandboxError
from proofrig.sandboxes.sandbox import Held, Image, Level, Limits, Unavailable
from proofrig.sandboxes.scene import BOX_UID, LOG, PTS, ROOT, Layout, Mount, Scene, mounts

CONF = """[containers]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
"""
STATE = ["--root=/run/podman", "--runroot=/run/podman-run", "--storage-driver=vfs"]
OF_DOCKER = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH")
TRIES_S = 60.0


class Podman:
    """podman, of root and of a user."""

    level: Level = "container"
    plants = True
    whole = False
    held: Held = "none"

    async def check(self, image: Image) -> str:
        if shutil.which("podman") is None:
            raise Unavailable("podman is not installed: `apt-get install podman crun`")
        return _word(await said(["podman", "--version"], HOME="/"))

    def uid(self) -> int:
        return BOX_UID if os.geteuid() == 0 else 0

    def scene(self, layout: Layout) -> Scene:
        argv = ["podman", *STATE, "run", "--detach", *common(layout)]
        argv += ["--cgroups=disabled", "--security-opt=mask=/sys/fs/cgroup", *ulimits()]
        argv += ["--no-hosts", "--passwd=false", "--http-proxy=false", f"--log-opt=path={LOG}"]
        argv += [f"--mount=type=bind,source={PTS},destination=/dev/pts"]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/run"}
        env |= {"CONTAINERS_CONF": "/run/containers.conf", "XDG_CONFIG_HOME": "/run/config"}
        argv += ["--rootfs", ROOT, *layout.argv]
        return Scene(argv, env, {"/run/containers.conf": CONF})


class Docker:
    """docker, whose daemon is on this machine."""

    level: Level = "container"
    plants = False
    whole = False
    held: Held = "enforced"

    async def check(self, image: Image) -> str:
        if shutil.which("docker") is None:
            raise Unavailable("docker is not installed")
        try:
            version = await said(["docker", "version", "--format={{.Server.Version}}"])
            known = await said(["docker", "image", "ls", "--quiet", tag(image)])
            if not known.strip():
                await asyncio.to_thread(_load, image)
        except SandboxError as error:
            raise Unavailable(f"docker does not answer ({error}): start its daemon") from None
        return f"docker-{_word(version)}"

    def uid(self) -> int:
        return os.geteuid() or BOX_UID

    def scene(self, layout: Layout) -> Scene:
        if layout.settings.limits.disk_bytes is not None:
            raise Unavailable(
                f"the box of {layout.settings.trial} is to have a limit on disk, which docker does "
                "not hold: `apt-get install podman crun`, ask for another level, or take disk_mb "
                "out of the limits"
            )
        argv = ["docker", "run", "--rm", *common(layout), *capped(layout.settings.limits)]
        argv += [f"--mount={bound(layout, mount)}" for mount in mounts(layout.settings)]
        for path in layout.settings.hidden:
            hidden = ["type=tmpfs", f"target={path}", "tmpfs-size=4k"]
            if not os.path.isdir(path):
                hidden = ["type=bind", "source=/dev/null", f"target={path}", "readonly"]
            argv.append(f"--mount={joined(hidden)}")
        env = {name: os.environ[name] for name in OF_DOCKER if name in os.environ}
        return Scene(
            [*argv, tag(layout.image), *layout.argv],
            env,
            bare=True,
            stop=["docker", "rm", "--force", layout.name],
        )


def common(layout: Layout) -> list[str]:
    """What both say alike."""
    return [
        f"--name={layout.name}",
        "--network=none",
        "--hostname=box",
        "--workdir=/",
        f"--user={layout.uid}:{layout.uid}",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
    ]


def ulimits() -> list[str]:
    """The limits that this process has: without CAP_SYS_RESOURCE none can be raised, which podman
    tries. What the trial may have, `inside.py` sets."""
    found = []
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        found.append(f"--ulimit={name}={hard}:{hard}")
    return found


def capped(limits: Limits) -> list[str]:
    """The limits that an engine holds by itself."""
    found = []
    if limits.memory_bytes is not None:
        found += [f"--memory={limits.memory_bytes}", f"--memory-swap={limits.memory_bytes}"]
    if limits.cpus is not None:
        found.append(f"--cpus={limits.cpus:g}")
    if limits.processes is not None:
        found.append(f"--pids-limit={limits.processes}")
    return found


def bound(layout: Layout, mount: Mount) -> str:
    """A mount of docker's. Its overlays are mounted by the daemon, which takes their folders in one
    text: Raises SandboxError for those that cannot be written there."""
    source = os.path.join(layout.storage, mount.source)
    if not mount.overlay:
        read_only = [] if mount.writable else ["readonly"]
        return joined(["type=bind", f"source={source}", f"target={mount.at}", *read_only])
    folders = [f"{layout.storage}/volume/world/{kind}" for kind in ("upper", "work")]
    if any(sign in path for path in (source, *folders) for sign in ",:\\"):
        raise SandboxError(f"docker cannot mount an overlay over {source}: no , : \\ in its path")
    options = f"lowerdir={source},upperdir={folders[0]},workdir={folders[1]}"
    options += ",redirect_dir=nofollow,metacopy=off"
    words = ["type=volume", f"target={mount.at}", "volume-driver=local", "volume-opt=type=overlay"]
    return joined([*words, "volume-opt=device=overlay", f"volume-opt=o={options}"])


def joined(words: Sequence[str]) -> str:
    """One line of comma-separated values, as both read `--mount`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(words)
    return text.getvalue().removesuffix("\n")


def tag(image: Image) -> str:
    """The name of an image at docker."""
    return "proofrig:" + re.sub(r"[^A-Za-z0-9_.-]", "-", image.digest or image.name)[:120]


async def said(argv: list[str], **env: str) -> str:
    """What a command prints, on either output. env: what it finds changed. Raises SandboxError,
    with its last words."""

    def run() -> str:
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TRIES_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"{argv[0]}: {error}") from None
        if done.returncode != 0:
            raise SandboxError(f"{' '.join(argv[:2])}: {done.stderr.strip()[-400:]}")
        return done.stdout or done.stderr

    return await asyncio.to_thread(run)


def _load(image: Image) -> None:
    """Give the image's files to docker."""
    packed = subprocess.Popen(["tar", "-C", image.root, "-c", "."], stdout=subprocess.PIPE)
    with packed:
        loaded = subprocess.run(
            ["docker", "import", "-", tag(image)],
            stdin=packed.stdout,
            capture_output=True,
            text=True,
        )
    if loaded.returncode != 0 or packed.returncode != 0:
        raise SandboxError(f"docker import: {loaded.stderr.strip()[-400:]}")


def _word(text: str) -> str:
    return re.sub(r"\s+", "-", text.strip())
