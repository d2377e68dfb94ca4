"""The contract of a sandbox: where an agent's processes run, what they may use, what they left.

    prepare(image) -> key     what all boxes share is there: files unpacked, a machine booted once
    start(settings) -> box    a fresh box for one trial: its files, its limits, its way to the rig
    box.exec(command)         a program in it, as often as wanted
    box.kill() -> ended       nothing in it lives any more; what it used, and what ended it
    box.changes()             which files it added, changed, deleted; its world is brought back
    box.close()               nothing is left of it

Members: `process` (processes of this host; limits advisory), `namespace`, `container`, `gvisor`,
`vm`. Rules of all:
1. What a level promises is shown by running it (`prepare`), never by looking for a file. A level
   that cannot be given is an `Unavailable` with the reason and the fix; none stands in for another.
2. A box ends with everything that was started in it, grandchildren and daemons included, and dies
   with the runner, even when the runner is killed with SIGKILL.
3. Above `process`, a box sees the files it is shown, its own processes, and of the network only the
   rig's ports on 127.0.0.1, at the same numbers as outside.
4. A box keeps its files from one command to the next, not its processes.
5. Output is read as it comes and kept only up to its cap; a flood never fills memory.
6. What ended a box, and which limit it broke, is told from counters and from our own kills, never
   from exit codes.
7. A program that speaks a protocol answers on a pipe of its own, so that what it prints cannot
   disturb it: the variable `PROOFRIG_REPLY_FD` names the descriptor inside the box.
8. Paths in a box are those of the host: the world, the agent's files and the current directory lie
   where they lie outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from proofrig.errors import UsageError

REPLY_FD = "PROOFRIG_REPLY_FD"  # names the descriptor of the reply pipe, inside the box

Level = Literal["process", "namespace", "container", "gvisor", "vm"]
LEVELS: tuple[Level, ...] = ("process", "namespace", "container", "gvisor", "vm")  # weak to strong
Held = Literal["enforced", "advisory", "none"]
Limit = Literal["memory", "cpu", "wall", "processes", "open_files", "disk", "egress"]


class Unavailable(UsageError):
    """A level that this machine cannot give: the reason, and what to do about it."""


class Command(msgspec.Struct, frozen=True):
    """What to start. Empty `stdin` reads as end of file; `timeout_s` may be infinite."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    stdin: bytes = b""
    timeout_s: float = 60.0
    stdout_cap: int = 1_000_000  # bytes kept; the rest is read and dropped
    stderr_cap: int = 64_000  # bytes kept of the tail
    reply_cap: int = 0  # bytes kept of what is written to the reply pipe; 0: there is none
    marker: str = ""  # the trial's token: how strays that left the process group are found

    @property
    def deadline_s(self) -> float | None:
        """`timeout_s`, or None when it is infinite."""
        return None if math.isinf(self.timeout_s) else self.timeout_s


class Exit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command ended. `code` is None when it was killed by `signal`."""

    code: int | None
    signal: int | None = None
    timed_out: bool = False
    stopped: bool = False  # by `Program.kill`
    stdout: bytes = b""
    stderr: bytes = b""  # the tail
    stdout_bytes: int = 0  # all that was written, kept or not
    reply: bytes = b""
    reply_bytes: int = 0
    max_rss_bytes: int = 0
    cpu_ms: int = 0
    strays: int = 0  # processes that had to be hunted down after the end


class Image(msgspec.Struct, frozen=True):
    """What lies around the agent in a box. `name` "host": the programs and libraries of this
    machine, read-only. Else an image of `proofrig image build`, whose files lie in `root` (a root
    file system as a folder); a vm also takes `disk`, `kernel` and `initrd`, files that hold the
    same. `interpreter` is its Python, "" where the host's paths hold."""

    name: str = "host"
    digest: str = ""
    root: str = ""
    disk: str = ""
    kernel: str = ""
    initrd: str = ""
    interpreter: str = ""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one box may use; None: as much as there is. Wall time is that of its commands."""

    memory_bytes: int | None = None
    cpu_ms: int | None = None  # processor time of all its processes together
    cpus: float | None = None  # processors at a time; slows down, breaks nothing
    processes: int | None = None  # processes and threads at a time
    open_files: int | None = None  # of each process
    disk_bytes: int | None = None  # that it may write, deleted files given back
    egress_bytes: int | None = None  # sent to the rig's ports, all together


class Shown(msgspec.Struct, frozen=True):
    """A file or folder of the host that a box sees at the same path: read-only, unless `writable`
    (then what the box writes is on the host at once; where boxes have a user of their own, the
    folder is given to that user)."""

    path: str
    writable: bool = False


class BoxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a box is started for.

    trial: whose it is, for names and messages. marker: its secret, by which strays are found.
    world: the host's folder of the trial's world, "" for none: the box finds it at its path and
    may write; the host's folder changes with `Box.changes`, not before. shown: what else it sees.
    hidden: below a shown folder, paths it does not see. ports: of the rig on 127.0.0.1.
    """

    trial: str
    marker: str
    world: str = ""
    shown: tuple[Shown, ...] = ()
    hidden: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    limits: Limits = Limits()


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a box used, children and daemons included. None: nobody could tell."""

    memory_peak_bytes: int | None = None  # page cache and files in memory included
    memory_anon_peak_bytes: int | None = None  # without them; sampled
    cpu_ms: int | None = None
    throttled_ms: int | None = None  # held back by `Limits.cpus`
    processes_peak: int | None = None  # processes and threads
    processes_refused: int | None = None  # forks that the limit refused
    open_files_peak: int | None = None  # of one process; sampled, and only where that is limited
    oom_kills: int | None = None
    bytes_out: int | None = None  # to the rig's ports
    bytes_in: int | None = None
    connections: int | None = None
    disk_bytes: int | None = None  # that its files take at the end
    disk_full: bool = False  # a write was refused for want of room


class Refused(msgspec.Struct, frozen=True):
    """Something a box tried and was refused: `what` is `connect` (`where`: `tcp 1.1.1.1:443`),
    `send` (`udp ...`), `syscall` (its name), and how often."""

    what: str
    where: str
    times: int = 1


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a box ended. broke: the limits it ran into, in the order in which it did. by: what ended
    it: "" (its commands were done), a limit, "kill" (we were asked to), "lost" (the sandbox, by no
    fault of the trial). start: how its interpreter came to be: "exec", or "fork" of a warm one."""

    level: Level
    held: Held
    emulated: bool = False
    broke: tuple[Limit, ...] = ()
    by: str = ""
    usage: Usage = Usage()
    refused: tuple[Refused, ...] = ()
    strays: int = 0  # processes that had to be hunted down
    start: str = "exec"
    start_ms: int = 0  # from being asked for to being ready for its first command


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A path that a trial added, changed or deleted. digest: sha256 hex of a regular file, ""
    where it was larger than what is hashed. kept: the digest of its copy among the payloads."""

    path: str  # absolute, in the box
    change: Literal["added", "changed", "deleted"]
    kind: Literal["file", "folder", "link", "special"] = "file"
    size: int = 0
    digest: str = ""
    target: str = ""  # of a link
    kept: str = ""


class Package(msgspec.Struct, frozen=True):
    """A package that a trial installed. `bytes`: its files, on disk."""

    manager: Literal["pip", "npm", "apt"]
    name: str
    version: str
    bytes: int


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a trial changed on disk, in the order of paths. `complete` is False when there was more
    than could be listed; `error` says why nothing could be told. `within`: where it was looked for
    ("" everywhere in the box)."""

    entries: tuple[Change, ...] = ()
    packages: tuple[Package, ...] = ()
    complete: bool = True
    within: str = ""
    error: str = ""


class Keep(msgspec.Struct, frozen=True):
    """Which copies of changed files are kept: `store` takes the bytes of one and returns its
    digest; files up to `file_bytes`, up to `all_bytes` together."""

    store: Callable[[bytes], str]
    file_bytes: int = 1 << 20
    all_bytes: int = 16 << 20


class Program(Protocol):
    """One started command."""

    def send(self, data: bytes) -> None:
        """Write to its standard input (only when started with `keep_stdin`)."""

    def kill(self) -> None:
        """End it and everything it started; `wait` tells when that is done."""

    def expire(self) -> None:
        """As `kill`; the exit says that it was out of time."""

    async def wait(self) -> Exit:
        """Wait for the end of the command and of everything it left behind."""


class Box(Protocol):
    """A place for one trial (or, for a shared host, of many)."""

    settings: BoxSettings

    async def exec(
        self,
        command: Command,
        *,
        keep_stdin: bool = False,
        on_reply: Callable[[bytes], None] | None = None,
    ) -> Program:
        """Start a command. `keep_stdin` leaves standard input open for `Program.send`; `on_reply`
        gets what comes on the reply pipe, as it comes (nothing of it is kept). Raises SandboxError
        when it cannot be started (the message names argv[0] and cwd)."""

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Write a file, with the folders it lies in. Raises SandboxError."""

    async def get(self, path: str, most: int) -> bytes:
        """At most `most` bytes of a regular file; links are not followed. Raises FileNotFoundError
        where there is none, SandboxError for what is no file."""

    async def signal(self, number: int) -> int:
        """Send a signal to every process that its commands started; how many got it."""

    async def stats(self) -> Usage:
        """What it used so far."""

    async def kill(self) -> Ended:
        """End everything in it. Its files stay. Doing it again gives the same answer."""

    async def changes(self, *, keep: Keep | None = None) -> Changes:
        """What was changed, and bring the changes of `settings.world` back to the host's folder.
        Only after `kill`."""

    async def close(self) -> None:
        """Leave nothing of it: no process, mount, group or file. Kills it where that is to be
        done."""


class Sandbox(Protocol):
    """Makes boxes of one level. Made once per run; `held` says what it does about limits."""

    level: Level
    held: Held
    emulated: bool

    async def prepare(self, image: Image) -> str:
        """Show that the level works here, and make what all boxes of the image share; its key.
        Must be called before `start`; doing it again costs nothing. Raises Unavailable."""

    async def start(self, settings: BoxSettings) -> Box:
        """A fresh box of the prepared image. Raises SandboxError."""

    async def close(self) -> None:
        """End every box that is left, and what they shared."""
