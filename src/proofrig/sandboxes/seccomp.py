"""The system calls that a box does not get: a seccomp filter, written as classic BPF by hand.

Namespaces and cgroups do the isolating; the filter takes away ways around them and the parts of
the kernel that are attacked most and that programs of agents do not need. Rules:
1. Everything is allowed but what is named here. A denied call fails with an error that programs
   know how to live with; it never kills.
2. Socket families: unix, IPv4, IPv6, and netlink to ask for routes and interfaces. Others either
   know nothing of network namespaces (vsock) or are attack surface.
3. No new user namespace: with one, a process is root of its own and gets at much more of the
   kernel. `clone3` hides its flags behind a pointer, so it "does not exist", and libraries fall
   back to `clone`.
4. A process does not look into another: no ptrace, no process_vm_*. Boxes of one user would reach
   each other's memory if anything else failed. (So no strace and gdb in a box.)
5. A foreign architecture's calls (32 bit, x32) are denied whole: their numbers mean other calls.
6. Of two filters the stricter answer holds, so a call that is to be seen (`watched_program`) is
   left out of the filter that denies unseen (`program(watched=True)`).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from proofrig.sandboxes.sandbox import Unavailable

FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
AF_NETLINK, NETLINK_ROUTE = 16, 0
CLONE_NEWUSER = 0x10000000
X32 = 0x40000000

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Name: number on x86_64, number on aarch64 (None: there is none), error.
DENIED: Mapping[str, tuple[int, int | None, int]] = MappingProxyType(
    {
        # sees or changes other processes
        "ptrace": (101, 117, errno.EPERM),
        "process_vm_readv": (310, 270, errno.EPERM),
        "process_vm_writev": (311, 271, errno.EPERM),
        "process_madvise": (440, 440, errno.EPERM),
        "pidfd_getfd": (438, 438, errno.EPERM),
        "kcmp": (312, 272, errno.EPERM),
        # files by handle, around every mount
        "name_to_handle_at": (303, 264, errno.EPERM),
        "open_by_handle_at": (304, 265, errno.EPERM),
        # mounts and namespaces
        "mount": (165, 40, errno.EPERM),
        "umount2": (166, 39, errno.EPERM),
        "pivot_root": (155, 41, errno.EPERM),
        "chroot": (161, 51, errno.EPERM),
        "open_tree": (428, 428, errno.ENOSYS),
        "move_mount": (429, 429, errno.ENOSYS),
        "fsopen": (430, 430, errno.ENOSYS),
        "fsconfig": (431, 431, errno.ENOSYS),
        "fsmount": (432, 432, errno.ENOSYS),
        "fspick": (433, 433, errno.ENOSYS),
        "mount_setattr": (442, 442, errno.ENOSYS),
        "setns": (308, 268, errno.EPERM),
        "clone3": (435, 435, errno.ENOSYS),
        # large parts of the kernel behind one call
        "bpf": (321, 280, errno.EPERM),
        "io_uring_setup": (425, 425, errno.ENOSYS),
        "io_uring_enter": (426, 426, errno.ENOSYS),
        "io_uring_register": (427, 427, errno.ENOSYS),
        "userfaultfd": (323, 282, errno.EPERM),
        "perf_event_open": (298, 241, errno.EPERM),
        "fanotify_init": (300, 262, errno.EPERM),
        # keys belong to the user, not to the box
        "add_key": (248, 217, errno.EPERM),
        "request_key": (249, 218, errno.EPERM),
        "keyctl": (250, 219, errno.EPERM),
        # the machine
        "kexec_load": (246, 104, errno.EPERM),
        "kexec_file_load": (320, 294, errno.EPERM),
        "init_module": (175, 105, errno.EPERM),
        "finit_module": (313, 273, errno.EPERM),
        "delete_module": (176, 106, errno.EPERM),
        "reboot": (169, 142, errno.EPERM),
        "swapon": (167, 224, errno.EPERM),
        "swapoff": (168, 225, errno.EPERM),
        "acct": (163, 89, errno.EPERM),
        "quotactl": (179, 60, errno.EPERM),
        "quotactl_fd": (443, 443, errno.EPERM),
        "syslog": (103, 116, errno.EPERM),
        "settimeofday": (164, 170, errno.EPERM),
        "clock_settime": (227, 112, errno.EPERM),
        "clock_adjtime": (305, 266, errno.EPERM),
        "adjtimex": (159, 171, errno.EPERM),
        "iopl": (172, None, errno.EPERM),
        "ioperm": (173, None, errno.EPERM),
    }
)
SOCKET = {"x86_64": (41, 53), "aarch64": (198, 199)}  # socket, socketpair
CLONE = {"x86_64": 56, "aarch64": 220}
UNSHARE = {"x86_64": 272, "aarch64": 97}
IOCTL = {"x86_64": 16, "aarch64": 29}
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # type into the terminal that the runner was started from

# Denied unseen. Some are made by what makes the box (bwrap), after the watching filter is there;
# the others by programs that only look whether they may, such as node for io_uring.
UNSEEN = frozenset(
    {
        *("mount", "umount2", "pivot_root", "chroot", "setns", "open_tree", "move_mount"),
        *("fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
        *("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    }
)

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; arguments have 8 bytes
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO, ASK = 0x7FFF0000, 0x00050000, 0x7FC00000


def line(code: int, constant: int, true: int = 0, false: int = 0) -> bytes:
    """One instruction; `true` and `false` say how many are skipped."""
    return struct.pack("=HBBI", code, true, false, constant)


def answer(number: int) -> bytes:
    return line(RETURN, ERRNO | number)


def on_call(number: int, then: Sequence[bytes]) -> list[bytes]:
    """Instructions for one call, the number being loaded; they do not come back."""
    return [line(EQUAL, number, 0, len(then)), *then]


def named(machine: str) -> Iterator[tuple[str, int, int]]:
    """Name, number and error of each call that is denied whole."""
    column = tuple(ARCHITECTURES).index(machine)
    for name, numbers in DENIED.items():
        number = numbers[column]
        if number is not None:
            yield name, number, numbers[2]


def opening(machine: str, foreign: bytes) -> list[bytes]:
    """Answer calls of other architectures; load the number of the rest."""
    lines = [
        line(LOAD, ARCHITECTURE),
        line(EQUAL, ARCHITECTURES[machine], 1),
        foreign,
        line(LOAD, NUMBER),
    ]
    if machine == "x86_64":
        lines += [line(AT_LEAST, X32, 0, 1), foreign]
    return lines


def families(machine: str, refuse: bytes) -> list[bytes]:
    """Refuse sockets of other families than those of rule 2."""
    then = [line(LOAD, ARGUMENTS)]
    for allowed in FAMILIES:
        then += [line(EQUAL, allowed, 0, 1), line(RETURN, ALLOW)]
    then += [
        line(EQUAL, AF_NETLINK, 0, 3),
        line(LOAD, ARGUMENTS + 16),
        line(EQUAL, NETLINK_ROUTE, 0, 1),
        line(RETURN, ALLOW),
        refuse,
    ]
    return [part for number in SOCKET[machine] for part in on_call(number, then)]


def new_users(machine: str, refuse: bytes) -> list[bytes]:
    """Refuse new user namespaces."""
    flags = [line(LOAD, ARGUMENTS), line(ANY_BIT, CLONE_NEWUSER, 0, 1)]
    then = [*flags, refuse, line(RETURN, ALLOW)]
    return [*on_call(CLONE[machine], then), *on_call(UNSHARE[machine], then)]


def known(machine: str) -> str:
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise Unavailable(
            f"no seccomp filter for the processor architecture {machine!r}: its system calls are"
            f" not known here, only those of {' and '.join(ARCHITECTURES)}; use --isolation=vm or"
            " --isolation=process"
        )
    return machine


def program(machine: str = "", *, watched: bool = False) -> bytes:
    """The filter, as `bwrap --seccomp` reads it and `prctl(PR_SET_SECCOMP)` takes it.

    machine: as `platform.machine()` says, "" for this one. watched: the box's processes have
    `watched_program` too, which sees to the rest. Raises Unavailable for a machine whose system
    calls are not known here.
    """
    machine = known(machine)
    lines = opening(machine, answer(errno.ENOSYS))
    for name, number, error in named(machine):
        if not watched or name in UNSEEN:
            lines += on_call(number, [answer(error)])
    typed = [line(LOAD, ARGUMENTS + 8)]
    for request in (TIOCSTI, TIOCLINUX):
        typed += [line(EQUAL, request, 0, 1), answer(errno.EPERM)]
    lines += on_call(IOCTL[machine], [*typed, line(RETURN, ALLOW)])
    if not watched:
        lines += new_users(machine, answer(errno.EPERM))
        lines += families(machine, answer(errno.EAFNOSUPPORT))
    return b"".join([*lines, line(RETURN, ALLOW)])


def watched_program(machine: str = "") -> bytes:
    """The filter that hands the other denied calls to the reader of its listener (`calls.Calls`),
    which refuses them and counts. With no reader left they fail with ENOSYS."""
    machine = known(machine)
    lines = opening(machine, line(RETURN, ALLOW))
    for name, number, _ in named(machine):
        if name not in UNSEEN:
            lines += on_call(number, [line(RETURN, ASK)])
    lines += new_users(machine, line(RETURN, ASK))
    lines += families(machine, line(RETURN, ASK))
    return b"".join([*lines, line(RETURN, ALLOW)])
