"""A real Redis server on a free port, and the rig's proxy before it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proofrig.gateways.gateway import Binding, Bindings
from proofrig.gateways.redis import RedisProxy
from proofrig.history.action import Action, Entry
from proofrig.history.history import History, pair
from proofrig.history.journal import Journal

ALICE = Binding("token-alice-0123456789", "case:0", "acme", "acme/flow/agent/0")
BOB = Binding("token-bob-0123456789", "case:1", "globex", "globex/flow/agent/1")


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[int]:
    """Runs `redis-server`; gives its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    argv += ["--save", "", "--appendonly", "no", "--loglevel", "warning", *options]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.01)
        yield port
    finally:
        running.kill()
        running.wait()


@dataclass
class Proxied:
    """A proxy, and the history that it writes. `alice` and `bob` are URLs that name a trial."""

    proxy: RedisProxy
    journal: Journal
    bindings: Bindings
    folder: Path
    upstream: str

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.proxy.port}/0"

    @property
    def alice(self) -> str:
        return self.url.replace("//", f"//:{ALICE.token}@")

    @property
    def bob(self) -> str:
        return self.url.replace("//", f"//:{BOB.token}@")

    def entries(self) -> list[Entry]:
        self.journal.flush()
        return [e for e in History(self.folder).entries() if e.name != "segment"]

    def actions(self) -> list[Action]:
        return list(pair(self.entries()))

    def told(self, *names: str) -> list[tuple[object, ...]]:
        """(action, key, outcome, *attributes named) of each action, in the order of their end."""
        return [
            (a.name, a.attr("key"), a.outcome, *(a.attr(name) for name in names))
            for a in self.actions()
        ]


@contextlib.asynccontextmanager
async def proxied(folder: Path, upstream: str) -> AsyncIterator[Proxied]:
    """A proxy before the server at `upstream`."""
    origin = time.monotonic_ns()
    journal = Journal(folder, "rig", lambda: time.monotonic_ns() - origin)
    bindings = Bindings()
    for binding in (ALICE, BOB):
        bindings.add(binding)

    class Rig:
        pass

    rig = Rig()
    rig.journal, rig.bindings = journal, bindings  # type: ignore[attr-defined]
    proxy = RedisProxy(rig, upstream, "redis:memory")  # type: ignore[arg-type]
    await proxy.start()
    try:
        yield Proxied(proxy, journal, bindings, folder, upstream)
    finally:
        await proxy.close()
        journal.close()
