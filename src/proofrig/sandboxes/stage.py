"""The stage of a container or gVisor box: what is around its engine, in namespaces of its own.

Run as a script by the runner's interpreter, one for each box; standard library only.

    stage.py SPEC     a JSON file, of `scene.for_stage`
    standard input    first byte: start the engine; second: end everything in the box; EOF: end
    reply pipe        the pid of its first process, a line; "dead" once nothing of the box lives

Rules:
1. Everything happens in a mount and a PID namespace of its own (and a user namespace, where the
   runner is not root): mounts, the engine's state and all processes are gone with its first
   process, whatever happens, and no other program ever sees them.
2. Dies with its parent, the keeper, which dies with the runner.
3. The box's files are put together here (`layers.py`). The engine gets one folder, `/run/root`.
4. It stays after the end of the box: what was written is read through it.
5. Of an engine whose boxes are made elsewhere (`bare`) it only holds the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from proofrig.sandboxes import layers, mounts
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import layers
    import mounts

    del sys.path[0]  # its other files have names of modules of the standard library

LOG = Path("/run/box.log")
SAID = 2000  # bytes of it that are told
BOTH = "/sys/fs/cgroup/unified"  # where a machine mounts both versions of cgroups
NOEXEC = 8


def enter(*, as_root: bool) -> None:
    """The namespaces. Only the first child is in the new PID namespace."""
    uid, gid = os.getuid(), os.getgid()
    user = 0 if as_root else mounts.CLONE_NEWUSER
    mounts.unshare(mounts.CLONE_NEWNS | mounts.CLONE_NEWPID | user, "namespaces of a box")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    mounts.make_private()


def build(spec: dict[str, Any]) -> None:
    """Put the box's files together, then what the engine needs in `/run`."""
    plan = spec["plan"]
    safe = mounts.MS_NOSUID | mounts.MS_NODEV
    os.chdir(plan["at"])
    mounts.mount("proc", "/proc", flags=safe | NOEXEC)
    users = -1
    if spec["as_root"]:
        users = (swapped if spec["serves"] else mounts.user_map)(plan["uid"])
    limited = layers.new_volume(plan["room"]) if plan["room"] else -1
    for fd in layers.Layers(plan, users, limited).build():
        os.close(fd)
    root = mounts.clone(f"{plan['at']}/root")
    simplify_cgroups(as_root=spec["as_root"])
    for folder in ("/run", "/dev/shm"):
        mounts.mount("tmpfs", folder, flags=safe, data="mode=755")
    os.mkdir("/run/pts")
    terminals = "newinstance,ptmxmode=0666,mode=0620"
    mounts.mount("devpts", "/run/pts", flags=mounts.MS_NOSUID | NOEXEC, data=terminals)
    os.mkdir("/run/root")
    mounts.attach(root, os.open("/run/root", os.O_PATH), "the box's files")
    for name, text in spec["files"].items():
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Path(name).write_text(text)


def swapped(uid: int) -> int:
    """As `mounts.user_map`, but `uid` is also root: a file server that makes files as root, and
    then gives them to the box's user, needs both. A descriptor."""
    ours, theirs = os.pipe()
    holder = os.fork()
    if holder == 0:
        mounts.unshare(mounts.CLONE_NEWUSER, "a user namespace")
        os.write(theirs, b".")
        signal.pause()
        os._exit(0)
    try:
        os.read(ours, 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{holder}/{kind}").write_text(f"0 {uid} 1\n{uid} 0 1\n")
        return os.open(f"/proc/{holder}/ns/user", os.O_RDONLY)
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        for fd in (ours, theirs):
            os.close(fd)


def simplify_cgroups(*, as_root: bool) -> None:
    """Some engines refuse a machine that mounts both versions of cgroups. Ours are held from
    outside, so here the second one is not seen."""
    if os.path.isdir(BOTH):
        if as_root:
            mounts.unmount(BOTH)
        else:
            mounts.mount("tmpfs", BOTH)


def perform(spec: dict[str, Any], told: int) -> None:
    """Start the engine when we are told to, end the box when we are told to."""
    if not os.read(0, 1):
        return
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    argv: list[str] = spec["argv"]
    engine = os.posix_spawnp(argv[0], argv, spec["env"], file_actions=[nothing])
    while 0 not in (ready := select.select([0, wake], [], [])[0]):
        os.read(ready[0], 4096)
        ended, some_live = reap()
        if ended.get(engine) or not some_live:  # it failed, or the box ended by itself
            say_why()
            break
    end(spec)
    while reap()[1]:
        select.select([wake], [], [], 0.05)
    os.write(told, b"dead")
    while os.read(0, 1):
        pass


def end(spec: dict[str, Any]) -> None:
    """Kill all of the box."""
    if spec["bare"]:
        subprocess.run(spec["stop"], env=spec["env"], capture_output=True)
    elif os.getpid() == 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # every process of the namespace but this one


def say_why() -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(LOG.read_text(errors="replace")[-SAID:])
        sys.stderr.flush()


def reap() -> tuple[dict[int, int], bool]:
    """How the children ended that have, by pid; and whether some live."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
        return ended, True
    return ended, False


def perform_inside(spec: dict[str, Any], told: int) -> int:
    """The same in namespaces, of which this process's child is the first; how that ended."""
    enter(as_root=spec["as_root"])
    lifeline, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        mounts.die_with_parent(signal.SIGKILL)
        if select.select([lifeline], [], [], 0)[0]:
            return 1  # the parent was gone before we asked to die with it
        build(spec)
        perform(spec, told)
        return 0
    os.write(told, b"%d\n" % child)
    os.close(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    told = int(os.environ[spec["reply_fd"]])
    os.set_inheritable(told, False)
    os.umask(0o022)
    mounts.die_with_parent(signal.SIGKILL)
    try:
        if spec["bare"]:
            perform(spec, told)
            status = 0
        else:
            status = perform_inside(spec, told)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        status = 1
    sys.stderr.flush()
    os._exit(min(255, abs(status)))


if __name__ == "__main__":
    main()
