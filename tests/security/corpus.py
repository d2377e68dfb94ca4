"""The attacks: what each is told, what it may use, who must stop it, and how it shows.

Rules:
1. `stopped_by` names the levels that claim to stop it; each of them must.
2. `shows` are facts of `Ended` and `Changes` (`seen`, in `arena.py`) that the attempt must leave.
   `UNSEEN` says what a level cannot tell: it stops the attempt all the same.
3. `control`: harmless, and shown to get out where nothing stops it, at level `process`. So a
   script that could not do it anyway is found out.
4. `rows` are what is tried: each attack as a control, at `namespace`, and at one of the levels
   whose boxes take longer, in turn. With PROOFRIG_SLOW=1 all of them at all levels that claim to
   stop them, and as much of each as there is (`make security`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from proofrig.sandboxes.sandbox import LEVELS, Level, Limits

SLOW = bool(os.environ.get("PROOFRIG_SLOW"))
QUICK = ("process", "namespace")  # levels whose attacks take seconds; the others take a minute
AS_ROOT = os.geteuid() == 0
MEGABYTE = 1 << 20
NO_LIMITS = Limits()
BOXES = frozenset(LEVELS) - {"process"}
# Beginnings of facts that a level cannot tell: they happen in a kernel of the box's own, or where
# the engine has put a filter of its own.
UNSEEN: dict[Level, tuple[str, ...]] = {
    "namespace": (),
    "container": ("syscall process_vm_readv",),
    "gvisor": ("syscall", "connect", "send", "added special"),
    "vm": ("syscall", "added special WORLD/socket"),
}


@dataclass(frozen=True)
class Attack:
    """`told`: the names of what the script is told of the arena, or values of its own."""

    name: str
    script: str
    told: dict[str, Any] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    stopped_by: frozenset[Level] = BOXES
    shows: tuple[str, ...] = ()
    control: bool = False
    left_running: bool = False  # it goes on until the box is killed
    slow: frozenset[Level] = frozenset()  # where it is tried with PROOFRIG_SLOW only


PLANTED = "proofrig-was-here"
OF_A_TRIAL = {"paths": "victims_files", "secret": "secret"}
OF_THE_RUN = {"paths": "runs_files", "secret": "secret"}
TRAPS = {"paths": "runs_files", "folder": "canary", "shown": "shown", "world": "world"}
ELSEWHERE = {
    "stream": [
        ["1.1.1.1", 443],
        ["169.254.169.254", 80],
        ["10.0.0.1", 22],
        ["2001:db8::1", 443],
        ["fd00:ec2::254", 80],
        ["fe80::1", 80, 0, 1],
    ],
    "datagram": [["8.8.8.8", 53], ["2001:4860:4860::8888", 53], ["169.254.169.254", 123]],
    "names": ["example.com"],
}

CORPUS = [
    Attack("files_of_another_trial", "files", OF_A_TRIAL, control=True),
    Attack("answers_verifiers_history_store_keys", "files", OF_THE_RUN, control=True),
    Attack("environment_of_others", "environment", {"secret": "secret"}, control=True),
    Attack("processes_of_others", "processes", {"pids": "pids", "secret": "secret"}, control=True),
    Attack(
        "memory_of_others",
        "memory",
        {"pids": "pids", "secret": "secret"},
        shows=("syscall ptrace", "syscall process_vm_readv"),
        control=True,
    ),
    Attack("descriptors_left_open", "descriptors"),
    Attack("writes_outside", "writes", {"paths": "canaries"}, stopped_by=BOXES - {"vm"}),
    Attack("device_nodes", "devices", stopped_by=BOXES - {"vm"}),
    Attack(
        "folders_of_the_host",
        "host_folders",
        {"name": "planted", "folders": "hosts_folders"},
        shows=(f"added file /tmp/{PLANTED}",),
        control=True,
    ),
    Attack(
        "addresses_elsewhere",
        "network",
        ELSEWHERE,
        shows=(
            *("connect tcp 1.1.1.1:443", "connect tcp 169.254.169.254:80"),
            *("connect tcp [2001:db8::1]:443", "connect tcp [fd00:ec2::254]:80"),
            *("connect tcp [fe80::1]:80", "send udp 8.8.8.8:53"),
            "send udp [2001:4860:4860::8888]:53",
        ),
    ),
    Attack(
        "ports_of_the_host",
        "network",
        {"stream": "hosts_ports", "datagram": [], "names": []},
        control=True,
    ),
    Attack(
        "sockets_past_the_namespace",
        "sockets",
        stopped_by=BOXES - {"vm"},
        shows=("syscall socket vsock", "syscall socket packet"),
    ),
    Attack("unix_sockets_of_the_host", "unix_sockets", {"sockets": "sockets"}, control=True),
    Attack(
        "user_namespaces",
        "user_namespaces",
        stopped_by=frozenset({"namespace"}),
        shows=("syscall unshare user",),
    ),
    Attack(
        "fork_bomb",
        "fork_bomb",
        {"most": 64},
        limits=Limits(processes=64),
        shows=("broke processes",),
        control=True,
    ),
    Attack(
        "memory_bomb",
        "memory_bomb",
        {"bytes": 400 * MEGABYTE},
        limits=Limits(memory_bytes=160 * MEGABYTE),
        shows=("broke memory",),
    ),
    Attack(
        "disk_filler",
        "disk_filler",
        {"bytes": 64 * MEGABYTE, "world": "world"},
        limits=Limits(disk_bytes=16 * MEGABYTE, memory_bytes=160 * MEGABYTE),
        shows=("broke disk",),
    ),
    Attack(
        "inode_filler",
        "inode_filler",
        {"files": 30_000, "world": "world"},
        limits=Limits(disk_bytes=16 * MEGABYTE),
        stopped_by=BOXES - {"vm"},  # its inodes are those of its own disk
        shows=("broke disk",),
    ),
    Attack(
        "connections",
        "connections",
        {"port": "port", "count": 100_000 if SLOW else 2000, "seconds": 20},
        shows=("many connections",),
        slow=frozenset({"gvisor", "vm"}),
    ),
    Attack(
        "links_on_collection",
        "links",
        {**TRAPS, "sparse": MEGABYTE},
        shows=(
            "added special WORLD/pipe",
            "added special WORLD/socket",
            "changed link WORLD/folder",
        ),
        left_running=True,
    ),
    Attack(
        "terabyte_on_collection",
        "links",
        {**TRAPS, "sparse": 1 << 40},
        shows=("too much to bring back",),
        left_running=True,
    ),
    Attack("outlives_its_end", "outlive", {"port": "port"}, shows=("strays",)),
    Attack(
        "rights_left_in_a_shared_folder",
        "rights",
        {"folder": "open"},
        stopped_by=BOXES - {"vm"},  # which shares no folder
        control=AS_ROOT,  # of whom else could a program be root's?
    ),
]


def rows() -> list[tuple[Level, str]]:
    """(level, attack), level by level."""
    return [
        (level, attack.name)
        for level in LEVELS
        for number, attack in enumerate(CORPUS)
        if (level in attack.stopped_by or (attack.control and level == "process"))
        and (SLOW or level in QUICK or level == _in_turn(number, attack))
    ]


def _in_turn(number: int, attack: Attack) -> Level:
    """The slower level at which an attack is tried when there is little time."""
    levels = [one for one in LEVELS if one in attack.stopped_by - attack.slow - set(QUICK)]
    return levels[number % len(levels)]
