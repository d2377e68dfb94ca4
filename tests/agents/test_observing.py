"""Observation in agents' interpreters: with and without proofrig, on real unchanged clients."""

from __future__ import annotations

import ast
import asyncio
import sys
import time
from pathlib import Path

from proofrig.agents import observing
from proofrig.agents.hosting import HOST
from proofrig.history.action import Action
from proofrig.history.history import History

from .conftest import Server

LOAD = f"""
import importlib.util, sys
def neighbour(name):
    spec = importlib.util.spec_from_file_location(
        "_proofrig_" + name, {str(HOST.parent)!r} + "/" + name + ".py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
"""
SHARED = LOAD + "identity = neighbour('identity'); identity.install()\n"
INSTALL = "observing = neighbour('observing'); observing.install()\n"


def environ(run: Path) -> dict[str, str]:
    (run / "history").mkdir(parents=True)
    return {
        "PROOFRIG_HISTORY": str(run / "history"),
        "PROOFRIG_ORIGIN_NS": str(time.monotonic_ns()),
        "PROOFRIG_TRIAL": "case:4",
    }


async def run(program: str, env: dict[str, str], *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *options,
        "-c",
        program,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode()


def actions(run: Path) -> list[Action]:
    return list(History(run).actions())


WRAPPERS = """
from proofrig.observers import accepted, observed_cache, observed_kv, observed_lock
import threading
memory = observed_kv({}, "memory")
memory["k"] = "v"
cache = observed_cache({}, "cache")
cache["q"] = "a"
assert cache["q"] == "a" and memory.get("k") == "v"
with observed_lock(threading.Lock(), "locks", "l"):
    accepted("call-1")
print(type(memory).__name__, "msgspec" in sys.modules)
"""


async def test_an_interpreter_without_proofrig_has_the_observers(tmp_path: Path) -> None:
    program = LOAD + INSTALL + WRAPPERS
    assert await run(program, environ(tmp_path), "-I", "-S") == "ObservedMapping False\n"
    assert [(a.name, a.outcome, a.trial) for a in actions(tmp_path)] == [
        ("kv.put", "ok", "case:4"),
        ("cache.put", "ok", "case:4"),
        ("cache.get", "ok", "case:4"),
        ("kv.get", "ok", "case:4"),
        ("lock.acquire", "ok", "case:4"),
        ("lock.release", "ok", "case:4"),
    ]


async def test_without_a_history_wrappers_are_nothing(tmp_path: Path) -> None:
    assert await run(LOAD + INSTALL + WRAPPERS, {}, "-I", "-S") == "dict False\n"


async def test_a_proofrig_that_is_installed_is_the_one_that_serves() -> None:
    program = LOAD + INSTALL + "import proofrig.results; print(proofrig.__file__)"
    assert await run(program, {}) == f"{HOST.parents[1] / '__init__.py'}\n"


async def test_what_is_not_installed_is_still_not_found() -> None:
    program = LOAD + INSTALL + "import importlib.util as u\n"
    program += "print([u.find_spec(n) for n in ('httpx', 'proofrig.history')])"
    assert await run(program, {}, "-I", "-S") == "[None, None]\n"


AGENT = """
import asyncio
async def trial(n, url):
    import aiohttp, httpx2, openai
    identity.IDENTITY.set((f"token-{n}", f"case:{n}"))
    async with httpx2.AsyncClient() as client:
        await client.get(url + "/httpx2")
    async with aiohttp.ClientSession() as session:
        async with session.get(url + "/aiohttp") as response:
            await response.read()
    async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:
        await client.chat.completions.create(model="m", messages=[])
    await asyncio.to_thread(plain, url)
def plain(url):
    import anthropic, httpx
    httpx.get(url + "/httpx")
    with anthropic.Anthropic(base_url=url, api_key="k") as client:
        client.messages.create(model="m", messages=[], max_tokens=1)
async def main(url):
    await asyncio.gather(trial(1, url), trial(2, url))
asyncio.run(main(URL))
observing.close()
"""
PATHS = ["/httpx2", "/aiohttp", "/chat/completions", "/httpx", "/v1/messages"]


async def test_unchanged_agents_on_real_clients_are_observed(
    tmp_path: Path, server: Server
) -> None:
    for name, early in (("late", ""), ("early", "import aiohttp, httpx, httpx2, openai")):
        env = environ(tmp_path / name)
        # clients that were imported before are patched too
        order = early + "\n" + SHARED + INSTALL if early else SHARED + INSTALL
        await run("import sys\n" + order + AGENT.replace("URL", repr(server.url)), env)
        found = actions(tmp_path / name)
        for trial in ("case:1", "case:2"):
            mine = [a for a in found if a.trial == trial]
            assert [a.attr("path") for a in mine] == PATHS
            assert {(a.name, a.outcome, a.attr("status")) for a in mine} == {
                ("pool.request", "ok", 200)
            }
            assert all(a.attr("wait_ns") >= 0 and a.attr("ttfb_ns") > 0 for a in mine)
        notes = [e for e in History(tmp_path / name).entries() if e.name == "pool"]
        limits = [(e.attrs["service"].split(":")[0], e.attrs.get("max_connections")) for e in notes]
        assert set(limits) >= {("httpx", 100), ("httpx2", 100), ("aiohttp", 100)}
        assert 1000 in [most for _, most in limits]  # of the SDKs' own
    marked = [h for _, _, h, _ in server.asked if h.get("baggage") == "proofrig.trial=token-1"]
    assert len(marked) == 2 * len(PATHS)  # both patches are in place


def test_the_module_is_for_any_interpreter_from_3_9() -> None:
    path = Path(observing.__file__)
    ast.parse(path.read_text(), feature_version=(3, 9))
