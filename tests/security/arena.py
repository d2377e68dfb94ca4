"""Where attacks are tried: a victim's trial, the run's own files, and an attacker's box beside it.

Everything that isolation alone must protect can be read by everybody by its mode, so that nothing
else protects it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofrig.sandboxes.sandbox import (
    BoxSettings,
    Changes,
    Command,
    Ended,
    Exit,
    Image,
    Keep,
    Sandbox,
    Shown,
)
from security.corpus import PLANTED, Attack

SCRIPTS = Path(__file__).with_name("attacks")
PYTHON = "/usr/bin/python3"  # the host's own, that every box of the host's programs has
RUNS_FILES = ("answers.yaml", "verifiers.py", "run/history.jsonl", "run/store.sqlite", "keys.env")
VICTIM = """
import os, sys, time
held = sys.argv[1] * 100
os.write(int(os.environ["PROOFRIG_REPLY_FD"]), b"ready")
time.sleep(600)
"""
HOSTS_FOLDERS = [
    *(
        "/",
        "/dev",
        "/dev/shm",
        "/etc",
        "/home",
        "/mnt",
        "/opt",
        str(Path.home()),
        "/run",
        "/srv",
        "/sys",
    ),
    *("/tmp", "/usr", "/usr/bin", "/usr/local", "/var", "/var/lib", "/var/tmp"),
]
MANY = 256  # connections that a box may have at a time


@dataclass
class Rig:
    """What listens on a port that boxes are given: counts what it is told, answers."""

    port: int = 0
    heard: int = 0
    most_at_once: int = 0
    open: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)
        with contextlib.suppress(ConnectionError):
            if await reader.read(100):
                self.heard += 1
                writer.write(b"here")
        writer.close()
        self.open -= 1


@dataclass
class Arena:
    """`folder`: what of it is where. `secret`: what the attacker must not come by."""

    sandbox: Sandbox
    folder: Path
    rig: Rig
    image: Image
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    pids: list[int] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    hosts_ports: list[list[Any]] = field(default_factory=list)

    def told(self, attack: Attack, world: Path) -> str:
        """What an attack is told, as its argument."""
        half = len(self.secret) // 2
        here: dict[str, Any] = {
            "secret": [self.secret[half:], self.secret[:half]],
            "victims_files": [str(self.folder / "victim" / "secret.txt")],
            "runs_files": [str(self.folder / name) for name in RUNS_FILES],
            "canaries": [str(self.folder / "canary" / "file"), str(self.folder / "shown" / "file")],
            "canary": str(self.folder / "canary"),
            "open": str(self.folder / "open"),
            "shown": str(self.folder / "shown" / "file"),
            "pids": self.pids,
            "sockets": self.sockets,
            "hosts_ports": self.hosts_ports,
            "port": self.rig.port,
            "world": str(world),
            "planted": PLANTED,
            "hosts_folders": HOSTS_FOLDERS,
        }
        values = attack.told.items()
        return json.dumps({k: here[v] if isinstance(v, str) else v for k, v in values})

    def settings(self, name: str, world: Path, attack: Attack | None = None) -> BoxSettings:
        return BoxSettings(
            trial=name,
            marker=secrets.token_hex(16),
            world=str(world),
            shown=self.shown(attack),
            ports=(self.rig.port,),
            **({"limits": attack.limits} if attack else {}),
        )

    def shown(self, attack: Attack | None) -> tuple[Shown, ...]:
        """What a box sees; for writing only who is to attack that."""
        read_only = Shown(str(self.folder / "shown"))
        if attack is None or "open" not in attack.told.values():
            return (read_only,)
        return read_only, Shown(str(self.folder / "open"), writable=True)

    def command(self, code: str, *words: str, **env: str) -> Command:
        python = self.image.interpreter or PYTHON
        argv = [python, "-I", "-S", "-B", "-c", code, *words]
        path = {"PATH": "/usr/bin:/bin", "HOME": "/tmp"}
        return Command(argv=argv, env={**path, **env}, cwd="/", timeout_s=300.0)


@dataclass
class Outcome:
    """What came of an attack."""

    exit: Exit | None  # None: it went on until it was killed
    said: dict[str, Any]
    ended: Ended
    changes: Changes
    world: Path
    kept: list[bytes]
    left: list[str]  # on the host, that must not come to be there

    @property
    def got_out(self) -> bool:
        return bool(self.said.get("got_out") or self.left)

    @property
    def seen(self) -> set[str]:
        """The attempt, as it shows in what is reported of the box."""
        facts = {f"broke {limit}" for limit in self.ended.broke}
        facts |= {f"{refused.what} {refused.where}" for refused in self.ended.refused}
        for change in self.changes.entries:
            path = change.path.replace(str(self.world), "WORLD")
            facts.add(f"{change.change} {change.kind} {path}")
        if self.ended.strays or (self.exit is not None and self.exit.strays):
            facts.add("strays")
        if "left more than" in self.changes.error:
            facts.add("too much to bring back")
        if (self.ended.usage.connections or 0) > MANY:
            facts.add("many connections")
        return facts


async def attempt(arena: Arena, attack: Attack) -> Outcome:
    """Let an attack happen in a box of its own, and end it."""
    world, open_folder = arena.folder / f"world-{attack.name}", arena.folder / "open"
    fill(world)
    shutil.rmtree(open_folder, ignore_errors=True)
    open_folder.mkdir()
    box = await arena.sandbox.start(arena.settings(attack.name, world, attack))
    exit: Exit | None = None
    kept: list[bytes] = []
    said = b""
    try:
        code = (SCRIPTS / f"{attack.script}.py").read_text()
        command = arena.command(code, arena.told(attack, world))
        if attack.left_running:
            laid: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            program = await box.exec(command, on_reply=laid.set_result)
            ending = asyncio.ensure_future(program.wait())
            await asyncio.wait([laid, ending], timeout=120, return_when=asyncio.FIRST_COMPLETED)
            assert laid.done(), ending.result().stderr.decode()
            said = laid.result()
        else:
            exit = await (await box.exec(command)).wait()
            said = exit.stdout
            assert exit.code != 1, exit.stderr.decode()
        ended = await box.kill()
        assert said or ended.by or ended.broke, "it ended unheard, and by no limit"
        changes = await box.changes(keep=Keep(lambda data: kept.append(data) or "x" * 64))
        if attack.left_running:
            await ending
    finally:
        await box.close()
    left = rights(open_folder) + planted()
    return Outcome(exit, json.loads(said or b"{}"), ended, changes, world, kept, left)


def planted() -> list[str]:
    """The files that an attack put into folders of the host; they are taken away."""
    found = [f"{folder}/{PLANTED}" for folder in HOSTS_FOLDERS]
    found = [path for path in found if os.path.lexists(path)]
    for path in found:
        os.unlink(path)
    return found


def rights(folder: Path) -> list[str]:
    """What in a folder gives who runs or opens it the rights of the host's root."""
    found = []
    for path in sorted(folder.iterdir()):
        status, mode = path.lstat(), path.lstat().st_mode
        as_user = mode & stat.S_ISUID and status.st_uid == 0
        as_group = mode & stat.S_ISGID and status.st_gid == 0
        capable = "security.capability" in os.listxattr(path, follow_symlinks=False)
        if as_user or as_group or capable or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            found.append(path.name)
    return found


def fill(folder: Path) -> None:
    """A world as a trial finds it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "folder").mkdir(parents=True)
    (folder / "folder" / "file").write_text("of the world\n")


@contextlib.asynccontextmanager
async def arena(sandbox: Sandbox, image: Image) -> AsyncIterator[Arena]:
    """Everything but the attacker: files, a rig, other listeners, a victim's trial that runs."""
    folder = Path(tempfile.mkdtemp(prefix="proofrig-arena-"))
    os.chmod(folder, 0o755)
    rig = Rig()
    made = Arena(sandbox, folder, rig, image)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        for name in (*RUNS_FILES, "victim/secret.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{made.secret}\n")
        for name in ("canary", "shown"):
            (folder / name).mkdir()
            (folder / name / "file").write_text("untouched\n")
        server = await asyncio.start_server(rig.answer, "127.0.0.1", 0, backlog=1024)
        stack.callback(server.close)
        rig.port = server.sockets[0].getsockname()[1]
        for name in (f"{folder}/canary/socket", f"@proofrig-arena-{made.secret[:8]}"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind("\0" + name[1:] if name.startswith("@") else name)
            listener.listen()
            made.sockets.append(name)
        (folder / "canary" / "socket").chmod(0o777)
        for host in addresses():
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.create_server((host, 0), family=family))
            made.hosts_ports.append([host, listener.getsockname()[1]])
        victim = await sandbox.start(made.settings("victim", folder / "victim"))
        stack.push_async_callback(victim.close)
        ready: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        command = made.command(VICTIM, made.secret, VICTIM_KEY=made.secret)
        program = await victim.exec(command, on_reply=ready.set_result)
        stack.push_async_callback(program.wait)
        stack.callback(program.kill)
        await asyncio.wait_for(ready, 120)
        made.pids += [os.getpid(), *holding(made.secret)]
        yield made


def addresses() -> list[str]:
    """Addresses of this machine that a program can listen on: loopback, and its own."""
    found = ["127.0.0.1", "::1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
        asking.connect(("192.0.2.1", 9))  # sends nothing: tells which address it would come from
        found.append(asking.getsockname()[0])
    return found


def holding(secret: str) -> list[int]:
    """Host's numbers of the processes whose command line has the secret."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and secret.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found
