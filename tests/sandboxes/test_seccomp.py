"""The filter, in real boxes: what it denies, and that normal programs live with it."""

from __future__ import annotations

import errno
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bare_box import PYTHON, bare_box, needs_bwrap
from proofrig.sandboxes.sandbox import Unavailable
from proofrig.sandboxes.seccomp import DENIED, named, program, watched_program

CALLS = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
def made(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), *[ctypes.c_long(each) for each in arguments])
    return ctypes.get_errno()
print(json.dumps([made(*call) for call in json.loads(sys.argv[1])]))
"""
SOCKETS = """
import json, socket, sys
def made(make, *kind):
    try:
        ends = make(*kind)
    except OSError as error:
        return error.errno
    for end in ends if isinstance(ends, tuple) else [ends]:
        end.close()
    return 0
found = [made(socket.socket, *kind) for kind in json.loads(sys.argv[1])]
print(json.dumps([*found, made(socket.socketpair, 30, 1), made(socket.socketpair, 1, 1)]))
"""
NEWUSER = 0x10000000
NEWNS = 0x00020000
FAR = -1  # arguments with which an allowed call fails before it does anything


async def calls(made: list[list[int]]) -> list[int]:
    async with bare_box([*PYTHON, CALLS, json.dumps(made)], program=program()) as box:
        found: list[int] = await box.run()
    return found


@needs_bwrap
async def test_each_named_call_fails_with_its_error() -> None:
    table = list(named(platform.machine()))
    found = await calls([[number, FAR, FAR, FAR, FAR, FAR] for _, number, _ in table])
    assert dict(zip([name for name, _, _ in table], found, strict=True)) == {
        name: error for name, _, error in table
    }


@needs_bwrap
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
async def test_new_user_namespaces_and_foreign_numbers_are_denied() -> None:
    clone, unshare, ioctl, x32_getpid = 56, 272, 16, 0x40000000 + 39
    tried = {
        (unshare, NEWUSER): errno.EPERM,
        (unshare, NEWUSER | NEWNS): errno.EPERM,
        (clone, NEWUSER | 17): errno.EPERM,
        (ioctl, 0, 0x5412, 0): errno.EPERM,  # TIOCSTI
        (ioctl, 0, 0x5401, 0): errno.ENOTTY,  # what a terminal is like may be asked
        (x32_getpid,): errno.ENOSYS,
        (39,): 0,  # getpid
    }
    found = await calls([list(call) for call in tried])
    assert found == list(tried.values())


@needs_bwrap
async def test_socket_families() -> None:
    kinds = {
        (1, 1, 0): 0,  # unix
        (2, 1, 0): 0,  # IPv4
        (10, 2, 0): 0,  # IPv6
        (16, 3, 0): 0,  # netlink, routes: what getifaddrs asks
        (16, 3, 12): errno.EAFNOSUPPORT,  # netlink, netfilter
        (40, 1, 0): errno.EAFNOSUPPORT,  # vsock
        (17, 3, 0): errno.EAFNOSUPPORT,  # packet
        (38, 5, 0): errno.EAFNOSUPPORT,  # alg
        (31, 3, 0): errno.EAFNOSUPPORT,  # bluetooth
        (2, 3, 1): errno.EPERM,  # a raw socket: allowed by the filter, refused by the kernel
    }
    argv = [*PYTHON, SOCKETS, json.dumps([list(kind) for kind in kinds])]
    async with bare_box(argv, program=program()) as box:
        *found, foreign_pair, pair = await box.run()
    assert found == list(kinds.values())
    assert (foreign_pair, pair) == (errno.EAFNOSUPPORT, 0)


PROGRAMS = {
    "python": [
        sys.executable,
        "-c",
        "import asyncio, ssl, threading, multiprocessing, subprocess, sqlite3;"
        "t = threading.Thread(target=print); t.start(); t.join();"
        "p = multiprocessing.get_context('spawn').Process(target=print); p.start(); p.join();"
        "assert p.exitcode == 0; asyncio.run(asyncio.sleep(0)); subprocess.check_call(['true'])",
    ],
    "pip": [sys.executable, "-m", "pip", "--version"],
    "node": [
        "node",
        "-e",
        "const fs=require('fs'),c=require('child_process');fs.promises.readFile('/etc/passwd')"
        ".then(()=>{c.execSync('true');new (require('worker_threads').Worker)('1',{eval:true})})",
    ],
    "npm": ["npm", "--version"],
    "git": ["sh", "-c", "cd /tmp && git init -q x && cd x && git -c user.name=a -c user.email=a@b"
            " commit -q --allow-empty -m x && git gc -q"],
    "gcc": ["sh", "-c", "cd /tmp && echo 'int main(){return 0;}' >x.c && gcc x.c -o x && ./x"],
    "tar": ["sh", "-c", "tar -C /etc -czf /tmp/x.tgz hostname && tar -C /tmp -xzf /tmp/x.tgz"],
}  # fmt: skip


@needs_bwrap
@pytest.mark.parametrize("name", list(PROGRAMS))
async def test_normal_programs_run(name: str) -> None:
    argv = PROGRAMS[name]
    if shutil.which(name) is None and argv[0] != sys.executable:
        pytest.skip(f"{name} is not installed")
    said = ["sh", "-c", '"$@" >/tmp/out 2>&1 && echo true || { cat /tmp/out; exit 1; }', "-"]
    async with bare_box([*said, *argv], program=program()) as box:
        assert await box.run() is True


@pytest.mark.parametrize("watched", [False, True])
def test_the_filter_knows_two_architectures(watched: bool) -> None:
    programs = {program(machine, watched=watched) for machine in ("x86_64", "aarch64")}
    assert len(programs) == 2
    with pytest.raises(Unavailable, match=r"'riscv64'.*x86_64 and aarch64.*--isolation=vm"):
        program("riscv64", watched=watched)


def test_a_watched_call_is_not_denied_unseen() -> None:
    """The stricter of two filters holds: each call is in exactly one, for both machines."""
    for machine in ("x86_64", "aarch64"):
        for name, number, _ in named(machine):
            test = b"\x15\x00" + bytes([0])  # jump if equal, no jump
            compare = test + b"\x01" + number.to_bytes(4, "little")
            places = [
                compare in program(machine, watched=True),
                compare in watched_program(machine),
            ]
            assert sorted(places) == [False, True], name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    """Against <asm/unistd.h>, as far as the headers are here."""
    column = ("x86_64", "aarch64").index(machine)
    header = {
        "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        "aarch64": Path("/usr/include/asm-generic/unistd.h"),
    }[machine]
    if not header.exists():
        pytest.skip(f"{header} is not installed: apt-get install linux-libc-dev")
    out = subprocess.run(["cat", str(header)], capture_output=True, text=True, check=True).stdout
    numbers = {
        words[1].removeprefix("__NR_"): int(words[2])
        for words in (line.split() for line in out.splitlines())
        if len(words) > 2 and words[1].startswith("__NR_") and words[2].isdigit()
    }
    known = {name: given[column] for name, given in DENIED.items() if name in numbers}
    assert len(known) > 35
    assert known == {name: numbers[name] for name in known}
