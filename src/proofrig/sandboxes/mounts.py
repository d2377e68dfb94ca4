"""The system calls that put a box's files together: namespaces, mounts, loop devices.

Standard library only, and importable on its own: what is used by the parent of boxes
(`bubblewrap_keeper.py`). Rules:
1. Every failure is an OSError that names what was to be done and with what.
2. A place inside a box is found as the box would find it (`inside`): a link in there, wherever it
   points, never leads out.
3. Linux 5.12 or newer, for `mount_setattr`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MS_NOSUID, MS_NODEV = 2, 4
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
OPEN_TREE, MOVE_MOUNT, OPENAT2, MOUNT_SETATTR = 428, 429, 437, 442  # equal on all machines
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
SET_FLAG, SET_STRING, CREATE = 0, 1, 6
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE = 0x1, 0x80000, 0x8000
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
FROM_EMPTY, TO_EMPTY = 0x4, 0x40
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOATIME = 0x1, 0x2, 0x4, 0x10
ATTR_IDMAP = 0x100000
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
LOOP_CTL_GET_FREE, LOOP_CONFIGURE, LOOP_AUTOCLEAR = 0x4C82, 0x4C0A, 4
LOOP_INFO = 232  # bytes of struct loop_info64; its flags lie at 52
BLOCK = 4096

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def check(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return answer


def call(number: int, what: str, *arguments: int | bytes) -> int:
    """A system call that libc has no name for."""
    words = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    return check(LIBC.syscall(ctypes.c_long(number), *words), what)


def unshare(flags: int, what: str) -> None:
    check(LIBC.unshare(flags), what)


def join(namespace: int, kind: int) -> None:
    check(LIBC.setns(namespace, kind), "join a namespace")


def die_with_parent(signal: int) -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)


def mount(kind: str, target: str, *, source: str = "none", flags: int = 0, data: str = "") -> None:
    check(
        LIBC.mount(
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(kind),
            ctypes.c_ulong(flags),
            os.fsencode(data),
        ),
        f"mount {kind} at {target}",
    )


def file_system(kind: str, options: dict[str, str], attributes: int) -> int:
    """A new mount of a file system, attached nowhere yet; its descriptor, for `attach`. An option
    without a value is a flag."""
    what = f"mount {kind}"
    context = call(FSOPEN, what, kind.encode(), 1)
    try:
        for name, value in options.items():
            say, text = (SET_STRING, os.fsencode(value)) if value else (SET_FLAG, 0)
            call(FSCONFIG, f"{what}: {name}", context, say, name.encode(), text, 0)
        call(FSCONFIG, what, context, CREATE, 0, 0, 0)
        return call(FSMOUNT, what, context, 1, attributes)
    finally:
        os.close(context)


def make_private() -> None:
    """What is mounted from now on is nobody else's, and the other way round."""
    check(
        LIBC.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None),
        "make the mounts private",
    )


def unmount(target: str) -> None:
    check(LIBC.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def clone(path: str, *, attributes: int = 0, users: int = -1) -> int:
    """A copy of the mount at `path`, with those below it, attached nowhere yet; its descriptor.
    users: the user namespace by which its owners are mapped (`user_map`); -1: as they are."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    tree = call(OPEN_TREE, f"bind {path}", AT_FDCWD, os.fsencode(path), flags)
    if users >= 0:
        attributes |= ATTR_IDMAP
    request = struct.pack("=QQQQ", attributes, 0, 0, max(users, 0))
    try:
        how = AT_EMPTY_PATH | AT_RECURSIVE
        call(MOUNT_SETATTR, f"bind {path}", tree, b"", how, request, len(request))
    except OSError:
        os.close(tree)
        raise
    return tree


def attach(tree: int, place: int, what: str) -> None:
    """Mount what `clone` gave at the file or folder `place` (a descriptor); closes both."""
    try:
        call(MOVE_MOUNT, what, tree, b"", place, b"", FROM_EMPTY | TO_EMPTY)
    finally:
        os.close(tree)
        os.close(place)


def inside(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` as a process would whose root is the folder `root`."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    return call(OPENAT2, path, root, os.fsencode(path), how, len(how))


def user_map(uid: int) -> int:
    """A user namespace in which `uid` (and its group) is root: by it, files of the host's root are
    those of `uid` in a mount, and the other way round. Its descriptor."""
    ours, theirs = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            os.close(ours)
            unshare(CLONE_NEWUSER, "a user namespace")
            os.write(theirs, b".")
            signal_forever()
        finally:
            os._exit(1)
    try:
        os.close(theirs)
        if not os.read(ours, 1):
            raise OSError(errno.EPERM, "no user namespace can be made")
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/{holder}/{kind}", "w") as file:
                file.write(f"0 {uid} 1")
        return os.open(f"/proc/{holder}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ours)
        os.kill(holder, 9)
        os.waitpid(holder, 0)


def signal_forever() -> None:
    while True:
        LIBC.pause()


def give(path: str, uid: int) -> None:
    """Have a file, or a folder and all in it, belong to a user; links, not what they point to."""
    os.chown(path, uid, uid, follow_symlinks=False)
    for _, folders, files, within in os.fwalk(path):
        for name in (*folders, *files):
            os.chown(name, uid, uid, dir_fd=within, follow_symlinks=False)


def attach_loop(file: int) -> tuple[str, int]:
    """A loop device over a file, that goes when nobody uses it any more: its path, and a descriptor
    that keeps it until it is used."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    info = bytearray(LOOP_INFO)
    struct.pack_into("=I", info, 52, LOOP_AUTOCLEAR)
    request = struct.pack("=II", file, BLOCK) + bytes(info) + bytes(64)
    try:
        while True:
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, request)
                return path, device
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # somebody else was faster
                    raise
    finally:
        os.close(control)


def copy_sparse(source: str, target: str) -> int:
    """A copy of a file, holes and all; its descriptor."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    writing = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(reading).st_size
        os.ftruncate(writing, size)
        at = 0
        with contextlib.suppress(OSError):  # ENXIO: only a hole is left
            while at < size:
                at = os.lseek(reading, at, os.SEEK_DATA)
                end = os.lseek(reading, at, os.SEEK_HOLE)
                while at < end:
                    at += os.pwrite(writing, os.pread(reading, min(1 << 20, end - at), at), at)
        return writing
    finally:
        os.close(reading)
