"""Identity on real requests: four client libraries in one shared host, a real loopback server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofrig.agents import identity
from proofrig.agents.agent import Attempt
from proofrig.agents.boxes import Boxes
from proofrig.agents.environment import identity_headers
from proofrig.agents.python import PythonAgentSettings, make_python_agent
from proofrig.sandboxes.process import ProcessSandbox

from .conftest import Server, Write

AGENT = """
    import asyncio, threading, concurrent.futures
    EARLY

    POOL = concurrent.futures.ThreadPoolExecutor(2)

    def get_requests(url, headers):
        import requests
        return requests.get(url, headers=headers, timeout=15).json()["headers"]

    def get_httpx(url, headers):
        import httpx
        return httpx.get(url, headers=headers, follow_redirects=True).json()["headers"]

    def get_httpx2(url, headers):
        import httpx2
        with httpx2.Client(follow_redirects=True) as client:
            return client.get(url, headers=headers).json()["headers"]

    async def aget_httpx(url, headers):
        import httpx
        async with httpx.AsyncClient(follow_redirects=True) as client:
            return (await client.get(url, headers=headers)).json()["headers"]

    async def aget_httpx2(url, headers):
        import httpx2
        async with httpx2.AsyncClient(follow_redirects=True) as client:
            return (await client.get(url, headers=headers)).json()["headers"]

    async def aget_aiohttp(url, headers):
        import aiohttp
        async with aiohttp.ClientSession() as session:
            async with session.get(url, headers=headers) as response:
                return (await response.json())["headers"]

    def words(task):
        name, url, *headers = task.split(" ")
        return globals()[name], url, dict(h.split("=", 1) for h in headers)

    def run(task):
        get, url, headers = words(task)
        return get(url, headers)

    async def arun(task):
        get, url, headers = words(task)
        await asyncio.sleep(0.001)
        return await get(url, headers)

    def in_pool(task):
        get, url, headers = words(task)
        return POOL.submit(get, url, headers).result()

    def in_thread(task):
        get, url, headers = words(task)
        found = []
        thread = threading.Thread(target=lambda: found.append(get(url, headers)))
        thread.start(); thread.join()
        return found[0]

    async def in_executor(task):
        get, url, headers = words(task)
        return await asyncio.get_running_loop().run_in_executor(None, get, url, headers)
"""
SYNC = ["get_requests", "get_httpx", "get_httpx2"]
ASYNC = ["aget_httpx", "aget_httpx2", "aget_aiohttp"]
Ask = Callable[..., Any]


@pytest.fixture
def ask(
    write: Write,
    suite_dir: Path,
    sandbox: ProcessSandbox,
    attempt: Callable[..., Attempt],
) -> Ask:
    async def ask(function: str, tasks: list[str], early: str = "") -> list[dict[str, str]]:
        write("my_agent.py", AGENT.replace("EARLY", early))
        settings = PythonAgentSettings(target=f"my_agent:{function}", mode="shared")
        agent = make_python_agent(settings, suite_dir, Boxes(sandbox), None)
        await agent.start()
        trials = [attempt(task, n=n, shared=True) for n, task in enumerate(tasks)]
        replies = await asyncio.gather(*(agent.run(trial) for trial in trials))
        await agent.close()
        assert [reply.error + reply.detail for reply in replies] == [""] * len(tasks)
        return [json.loads(reply.answer) for reply in replies]

    return ask


def expected(tmp_path: Path, n: int) -> dict[str, str]:
    return identity_headers(f"token-{n}-{tmp_path.name}", f"case:{n}")


@pytest.mark.parametrize("early", ["", "import requests, httpx, httpx2, aiohttp"])
@pytest.mark.parametrize(("function", "names"), [("run", SYNC), ("arun", ASYNC)])
async def test_each_request_carries_its_own_trial(
    ask: Ask, server: Server, tmp_path: Path, function: str, names: list[str], early: str
) -> None:
    tasks = [f"{name} {server.url}/x" for name in names] * 4
    found = await ask(function, tasks, early)
    assert [{name: got.get(name) for name in ("traceparent", "baggage")} for got in found] == [
        expected(tmp_path, n) for n in range(len(tasks))
    ]


@pytest.mark.parametrize("function", ["in_pool", "in_thread", "in_executor"])
async def test_identity_follows_work_into_threads(
    ask: Ask, server: Server, tmp_path: Path, function: str
) -> None:
    found = await ask(function, [f"get_requests {server.url}/x"] * 8)
    assert [got.get("baggage") for got in found] == [
        expected(tmp_path, n)["baggage"] for n in range(8)
    ]


@pytest.mark.parametrize(("function", "names"), [("run", SYNC), ("arun", ASYNC)])
async def test_headers_that_are_there_are_kept(
    ask: Ask, server: Server, tmp_path: Path, function: str, names: list[str]
) -> None:
    given = "baggage=user=7,proofrig.trial=old traceparent=00-mine"
    found = await ask(function, [f"{name} {server.url}/x {given}" for name in names])
    assert [(got["traceparent"], got["baggage"]) for got in found] == [
        ("00-mine", f"user=7,{expected(tmp_path, n)['baggage']}") for n in range(len(names))
    ]


@pytest.mark.parametrize(("function", "names"), [("run", SYNC), ("arun", ASYNC)])
async def test_other_hosts_see_nothing_even_after_a_redirect(
    ask: Ask, server: Server, function: str, names: list[str]
) -> None:
    stranger = f"http://127.0.0.2:{server.port}/x"
    for url in (stranger, f"{server.url}/to?{stranger}"):
        for got in await ask(function, [f"{name} {url} baggage=user=7" for name in names]):
            assert (got.get("traceparent"), got.get("baggage")) == (None, "user=7")


@pytest.mark.parametrize(
    ("host", "before", "after"),
    [
        ("127.0.0.1", {}, {"baggage": "proofrig.trial=t", "traceparent": "TP"}),
        ("localhost", {"baggage": "a=1"}, {"baggage": "a=1,proofrig.trial=t", "traceparent": "TP"}),
        ("example.org", {"a": "b"}, {"a": "b"}),
        ("example.org", {"baggage": "proofrig.trial=t", "traceparent": "TP"}, {}),
        ("example.org", {"baggage": "x=1,proofrig.trial=t"}, {"baggage": "x=1"}),
        (None, {}, {}),
    ],
)
def test_mark(host: str | None, before: dict[str, str], after: dict[str, str]) -> None:
    own = identity.traceparent("t", "case:1")
    headers = {name: value.replace("TP", own) for name, value in before.items()}
    reset = identity.IDENTITY.set(("t", "case:1"))
    identity.mark(headers, host)
    identity.IDENTITY.reset(reset)
    assert headers == {name: value.replace("TP", own) for name, value in after.items()}


@pytest.mark.parametrize(
    ("host", "marked"),
    [
        ("api.openai.com", True),
        ("eu.example.org", True),
        ("example.org", False),
        ("other.com", False),
        (None, False),
    ],
)
def test_hosts_whose_tls_ends_at_the_rig_are_marked(
    host: str | None, marked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "INTERCEPTED", ("api.openai.com", "*.example.org"))
    headers: dict[str, str] = {}
    reset = identity.IDENTITY.set(("t", "case:1"))
    identity.mark(headers, host)
    identity.IDENTITY.reset(reset)
    assert ("baggage" in headers) == marked


def test_work_without_identity_gets_no_mark() -> None:
    headers: dict[str, str] = {}
    identity.mark(headers, "127.0.0.1")
    assert headers == {}


WORKERS = """
    import asyncio, multiprocessing, queue, threading
    import multiprocessing.pool

    LOCK = threading.Lock()
    MADE = {}
    RESOURCES = queue.Queue()
    ARESOURCES = asyncio.Queue()

    def once(name, make):
        with LOCK:
            if name not in MADE: MADE[name] = make()
        return MADE[name]

    def thread_worker(work):
        def serve():
            while True:
                task, done = work.get()
                done.put(do(task))
        threading.Thread(target=serve, daemon=True).start()
        return work

    def by_thread(task):
        done = queue.Queue()
        once("thread", lambda: thread_worker(queue.Queue())).put((task, done))
        return done.get()

    def by_simple_thread(task):
        done = queue.SimpleQueue()
        once("thread", lambda: thread_worker(queue.SimpleQueue())).put_nowait((task, done))
        return done.get()

    def task_worker():
        work = asyncio.Queue()
        async def serve():
            while True:
                task, done = await work.get()
                done.set_result(await ado(task))
        MADE["served"] = asyncio.get_running_loop().create_task(serve())
        return work

    async def by_task(task):
        done = asyncio.get_running_loop().create_future()
        await once("task", task_worker).put((task, done))
        return await done

    def by_pool(task):
        pool = once("pool", lambda: multiprocessing.pool.ThreadPool(2))
        return [pool.apply(do, [task]), pool.map(do, [task])[0], next(pool.imap(do, [task]))]

    def by_process(task):
        make = lambda: multiprocessing.get_context("fork").Pool(1)
        return once("process", make).apply(do, [task])

    def takes_turns(task):
        with LOCK:
            if RESOURCES.empty(): RESOURCES.put(object())
        resource = RESOURCES.get()
        try: return do(task)
        finally: RESOURCES.put(resource)

    async def atakes_turns(task):
        if ARESOURCES.empty(): ARESOURCES.put_nowait(object())
        resource = await ARESOURCES.get()
        try: return await ado(task)
        finally: ARESOURCES.put_nowait(resource)

    def do(task):
        get, url, headers = words(task)
        return get(url, headers)

    async def ado(task):
        get, url, headers = words(task)
        return await get(url, headers)
"""


@pytest.mark.parametrize("function", ["by_thread", "by_simple_thread", "by_task", "by_process"])
async def test_a_worker_that_one_trial_began_never_speaks_for_it_on_anothers_work(
    ask: Ask, server: Server, tmp_path: Path, function: str
) -> None:
    get = "aget_httpx" if function == "by_task" else "get_httpx"
    found = await ask(function, [f"{get} {server.url}/x"] * 6, WORKERS)
    own = [expected(tmp_path, n)["baggage"] for n in range(6)]
    assert all(got.get("baggage") in (None, mine) for got, mine in zip(found, own, strict=True))
    assert [got.get("baggage") for got in found].count(None) >= 5


async def test_a_pool_of_threads_works_for_whoever_hands_it_the_work(
    ask: Ask, server: Server, tmp_path: Path
) -> None:
    found = await ask("by_pool", [f"get_httpx {server.url}/x"] * 6, WORKERS)
    assert [[got["baggage"] for got in three] for three in found] == [
        [expected(tmp_path, n)["baggage"]] * 3 for n in range(6)
    ]


@pytest.mark.parametrize("function", ["takes_turns", "atakes_turns"])
async def test_a_trial_that_takes_what_another_gave_back_stays_itself(
    ask: Ask, server: Server, tmp_path: Path, function: str
) -> None:
    get = "aget_httpx" if function == "atakes_turns" else "get_httpx"
    found = await ask(function, [f"{get} {server.url}/x"] * 6, WORKERS)
    assert [got.get("baggage") for got in found] == [
        expected(tmp_path, n)["baggage"] for n in range(6)
    ]
