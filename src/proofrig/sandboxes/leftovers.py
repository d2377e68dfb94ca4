"""Where boxes keep their files, and what runners left that were killed.

    <temporary folder>/proofrig-boxes-<uid>/<tag of the runner>/    `home`: files of its boxes
                                                       owner.json   its runs

Rules:
1. Only what a dead runner left is touched (`owners.py` says who is dead), and only of this user.
2. What is found is tied to the runner by its tag or its runs: folders and mounts below its home,
   groups, containers by their names, loop devices by their files, processes by the variable
   PROOFRIG_RUN or by a path of its home on their command line.
3. A run that was taken up again belongs to the living: its processes stay.
4. First what is alive ends, then mounts and devices go, then the files they held.
5. Nothing is followed: a link in a left folder is removed, not what it points to.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, keeper, owners

OWNER = "owner.json"
ATTEMPTS = 100  # to make a folder that others remove
RUN = "PROOFRIG_RUN"  # the variable that tells a process's run
CONTAINER = "proofrig-"  # containers are named `proofrig-<tag>-<box>`
ENGINES = ("docker",)  # podman keeps nothing outside its stage (`engine.py`)
ENGINE_TIMEOUT_S = 30.0
LOOP_CLR_FD = 0x4C01
MNT_DETACH = 2

Kind = Literal["process", "group", "container", "mount", "loop device", "storage"]


class Leftover(NamedTuple):
    """Something that a dead runner left. `what`: a pid, a name or a path."""

    kind: Kind
    what: str
    owner: str  # the runner's tag


class Cleaned(NamedTuple):
    """A leftover that was removed; `error` says why it was not."""

    leftover: Leftover
    error: str = ""


def home(run: str = "", base: Path | None = None) -> Path:
    """The folder for the files of this runner's boxes; others may pass through it, not list it.
    `run` is noted as one of its runs. `base`: instead of the usual folder of this user. Raises
    SandboxError where somebody else has taken its name, or it cannot be made."""
    base = (base or usual_base()).resolve()
    path = base / owners.tag()
    try:
        if not path.is_dir():
            atexit.register(_leave_quietly, base)
        _make(base, path)
        runs = _runs(path)
        if run and run not in runs:
            fresh = path / f"{OWNER}.new"
            fresh.write_text(json.dumps({"runs": [*runs, run]}))
            fresh.replace(path / OWNER)
    except OSError as error:
        raise SandboxError(f"no folder for the files of boxes, {path}: {error}") from None
    return path


def _make(base: Path, path: Path) -> None:
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):  # a runner that leaves removes an empty base
            for folder in (base, path):
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                    folder.chmod(0o711)  # whatever the umask is
                status = folder.lstat()
                mine = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
                if not mine or status.st_mode & 0o022:
                    raise SandboxError(
                        f"the files of boxes belong into {folder}, which is not a folder of ours "
                        "that nobody else may write to: remove it, or set TMPDIR to another place"
                    )
            return
    path.mkdir()


def leave(base: Path | None = None) -> None:
    """Remove this runner's home, with all that is in it, and what is around its groups. It is done
    when the runner ends in good order. Raises SandboxError."""
    base = (base or usual_base()).resolve()
    remove(base / owners.tag())
    cgroups.leave()
    with contextlib.suppress(OSError):  # other runners are in it
        base.rmdir()


def _leave_quietly(base: Path) -> None:
    with contextlib.suppress(SandboxError):  # what stays is found by the next `clean`
        leave(base)


def usual_base() -> Path:
    """The folder of all runners of this user."""
    return Path(tempfile.gettempdir()) / f"proofrig-boxes-{os.geteuid()}"


def remove(path: Path) -> None:
    """Remove a folder and what is in it, however deep, also where an overlay left folders of mode
    000; nothing when there is none. Raises SandboxError when something stays, and when something
    is mounted below, whose files are not ours to remove."""
    if points := _points_below(path):
        raise SandboxError(f"cannot remove {path}: {points[-1]} is mounted in it")
    try:
        shutil.rmtree(path)
        return
    except FileNotFoundError:
        if not path.exists():
            return
    except (OSError, RecursionError):
        pass
    if os.geteuid() != 0:
        subprocess.run(["chmod", "-R", "u+rwx", "--", path], stderr=subprocess.DEVNULL)
    done = subprocess.run(["rm", "-rf", "--one-file-system", "--", path], stderr=subprocess.PIPE)
    if done.returncode != 0:
        first = done.stderr.decode(errors="replace").partition("\n")[0]
        raise SandboxError(f"cannot remove {path}: {first.removeprefix('rm: ')}")


def dead(base: Path | None = None) -> list[Leftover]:
    """What dead runners left, in the order in which it has to go. `base`: only of those that have
    their home there; else of all."""
    place = (base or usual_base()).resolve()
    homes = _dead_homes(place)
    named = [Leftover("group", name, name.split("/")[1]) for name in cgroups.leftovers()]
    named += _containers()
    if base is not None:
        named = [left for left in named if left.owner in {path.name for path in homes}]
    return [
        *_processes(place, homes),
        *named,
        *_mounts(homes),
        *_loop_devices(homes),
        *(Leftover("storage", str(path), path.name) for path in homes),
    ]


def clean(base: Path | None = None) -> list[Cleaned]:
    """Remove it; what was removed, and what could not be. Whatever stays of a runner, its home
    stays too, so that it is found again."""
    cleaned = []
    stuck: set[str] = set()
    for leftover in dead(base):
        try:
            if leftover.kind == "storage" and leftover.owner in stuck:
                raise SandboxError("kept, because not all else of its runner is gone")
            REMOVE[leftover.kind](leftover.what)
            cleaned.append(Cleaned(leftover))
        except (OSError, SandboxError) as error:
            stuck.add(leftover.owner)
            cleaned.append(Cleaned(leftover, str(error)))
    with contextlib.suppress(OSError):  # living runners are in it
        (base or usual_base()).rmdir()
    return cleaned


def _dead_homes(base: Path) -> list[Path]:
    try:
        if base.lstat().st_uid != os.geteuid():
            return []
        names = sorted(os.listdir(base))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [base / name for name in names if owners.is_dead(name)]


def _runs(path: Path) -> list[str]:
    """The runs of a home; none where the runner was killed before it noted one."""
    try:
        runs = json.loads((path / OWNER).read_bytes())["runs"]
        return [run for run in runs if isinstance(run, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _processes(base: Path, homes: list[Path]) -> Iterator[Leftover]:
    alive = {
        run
        for path in (base.iterdir() if homes else ())
        if path not in homes
        for run in _runs(path)
    }
    marks = {  # of each home: how one of its processes is known
        path.name: (
            [f"{RUN}={run}".encode() for run in _runs(path) if run not in alive],
            f"{path}/".encode(),
        )
        for path in homes
    }
    spared = set(_line())
    for pid in keeper.processes() if marks else ():
        if pid in spared or keeper.parent_and_state(pid)[1] in ("", "Z", "X"):
            continue
        variables = _file(pid, "environ").split(b"\0")
        words = _file(pid, "cmdline")
        for tag, (runs, folder) in marks.items():
            # somebody who looks at a left file in a terminal is no leftover
            if any(run in variables for run in runs) or (folder in words and not _terminal(pid)):
                yield Leftover("process", str(pid), tag)
                break


def _line() -> Iterator[int]:
    """This process and its ancestors."""
    pid = os.getpid()
    while pid:
        yield pid
        pid = keeper.parent_and_state(pid)[0]


def _terminal(pid: int) -> bool:
    """True when the process has a terminal, or is gone."""
    fields = _file(pid, "stat").rpartition(b")")[2].split()
    return not fields or fields[4] != b"0"


def _file(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _containers() -> Iterator[Leftover]:
    for engine in ENGINES:
        for name in _engine(
            engine, "ps", "-a", "--filter", f"name=^{CONTAINER}", "--format", "{{.Names}}"
        ).split():
            tag = "-".join(name.removeprefix(CONTAINER).split("-")[:2])
            if name.startswith(CONTAINER) and owners.is_dead(tag):
                yield Leftover("container", f"{engine}:{name}", tag)


def _engine(engine: str, *words: str) -> str:
    """What a container engine answers; "" where there is none that works."""
    if shutil.which(engine) is None:
        return ""
    try:
        done = subprocess.run(
            [engine, *words], capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _mounts(homes: list[Path]) -> Iterator[Leftover]:
    for path in homes:
        for point in reversed(_points_below(path)):
            yield Leftover("mount", point, path.name)


def _points_below(path: Path) -> list[str]:
    """Where something is mounted below a folder, in our mount namespace; the innermost last."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [_unescaped(line.split()[4]) for line in lines]
    return [point for point in points if point.startswith(f"{path}/")]


def _unescaped(text: str) -> str:
    """A path of mountinfo, where blanks and backslashes are written in octal."""
    for code in (" ", "\t", "\n", "\\"):
        text = text.replace(f"\\{ord(code):03o}", code)
    return text


def _loop_devices(homes: list[Path]) -> Iterator[Leftover]:
    for backing in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        with contextlib.suppress(OSError):
            file = backing.read_text().strip()
            for path in homes:
                if file.startswith(f"{path}/"):
                    yield Leftover("loop device", f"/dev/{backing.parts[3]}", path.name)


def _end_process(pid: str) -> None:
    keeper.kill(int(pid))
    deadline = time.monotonic() + keeper.STRAY_DEADLINE_S
    while keeper.parent_and_state(int(pid))[1] not in ("", "Z", "X"):
        if time.monotonic() > deadline:
            raise SandboxError(f"process {pid} survives SIGKILL, or is not ours to end")
        time.sleep(0.005)


def _remove_container(name: str) -> None:
    engine, _, container = name.partition(":")
    done = subprocess.run(
        [engine, "rm", "--force", container],
        capture_output=True,
        text=True,
        timeout=ENGINE_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise SandboxError(f"cannot remove the container {container}: {done.stderr.strip()}")


def _unmount(point: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), MNT_DETACH) != 0:
        raise SandboxError(f"cannot unmount {point}: {os.strerror(ctypes.get_errno())}")


def _detach(device: str) -> None:
    descriptor = os.open(device, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, LOOP_CLR_FD)
    finally:
        os.close(descriptor)


REMOVE: dict[Kind, Callable[[str], None]] = {
    "process": _end_process,
    "group": cgroups.discard,
    "container": _remove_container,
    "mount": _unmount,
    "loop device": _detach,
    "storage": lambda path: remove(Path(path)),
}
