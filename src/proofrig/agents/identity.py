"""Puts a trial's identity on the HTTP requests an agent makes inside a shared host.

Loaded by `host.py` in the agent's own interpreter: standard library only, Python 3.9+. Patches
httpx, httpx2, aiohttp and requests, also when they are imported later.

Rules:
1. Only requests to this machine are marked, and to hosts whose TLS ends at the rig
   (PROOFRIG_INTERCEPTED); on any other host our mark is taken off again (a redirect copies
   headers).
2. A baggage header that is there keeps its other members; a traceparent that is there stays.
3. Identity is the context variable, nothing else: it follows tasks by itself, and is carried into
   threads and thread pools. Work that has no identity gets no mark; nothing is guessed.
4. A thread or task that one trial began may serve others: one that takes another trial's work off
   a queue has no identity from then on. Only where the trial itself began does it keep it, for a
   queue may be a pool of connections too.
5. Identity does not cross into other processes: a forked worker may serve any trial.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import importlib.abc
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

IDENTITY: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "proofrig_identity", default=None
)  # (token, trial)
ROOT: contextvars.ContextVar[Any] = contextvars.ContextVar(
    "proofrig_root", default=None
)  # the task or thread in which the trial began
LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1", "[::1]"))
INTERCEPTED = tuple(os.environ.get("PROOFRIG_INTERCEPTED", "").split())  # `host`, `*.host`, `*`
MEMBER = "proofrig.trial="
MANY = ("", "")  # several trials put an equal item: nobody's identity


def traceparent(token: str, trial: str) -> str:
    trace = hashlib.sha256(token.encode()).hexdigest()[:32]
    span = hashlib.sha256(f"{token} {trial}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"


def mark(headers: Any, host: str | None) -> None:
    """Set or take off the identity on a mutable mapping of headers (rules 1 and 2)."""
    identity = IDENTITY.get()
    baggage = headers.get("baggage") or ""
    others = [part for part in baggage.split(",") if part.strip()[: len(MEMBER)] != MEMBER]
    if host in LOOPBACK or _intercepted(host or ""):
        if identity is None:
            return
        members = [part for part in others if part.strip()]
        headers["baggage"] = ",".join([*members, MEMBER + identity[0]])
        if "traceparent" not in headers:
            headers["traceparent"] = traceparent(*identity)
    elif MEMBER in baggage:
        if others:
            headers["baggage"] = ",".join(others)
        else:
            del headers["baggage"]
        if identity is not None and headers.get("traceparent") == traceparent(*identity):
            del headers["traceparent"]


def _intercepted(host: str) -> bool:
    return any(host == one or (one[:1] == "*" and host.endswith(one[1:])) for one in INTERCEPTED)


def _patch_httpx(module: Any) -> None:
    def sync_send(inner: Any) -> Any:
        def _send_single_request(self: Any, request: Any) -> Any:
            mark(request.headers, request.url.host)
            return inner(self, request)

        return _send_single_request

    def async_send(inner: Any) -> Any:
        async def _send_single_request(self: Any, request: Any) -> Any:
            mark(request.headers, request.url.host)
            return await inner(self, request)

        return _send_single_request

    _wrap(module.Client, "_send_single_request", sync_send)
    _wrap(module.AsyncClient, "_send_single_request", async_send)


def _patch_aiohttp(module: Any) -> None:
    def send(inner: Any) -> Any:
        async def send(self: Any, conn: Any) -> Any:
            mark(self.headers, self.url.host)
            return await inner(self, conn)

        return send

    _wrap(module.ClientRequest, "send", send)


def _patch_requests(module: Any) -> None:
    def send(inner: Any) -> Any:
        def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            mark(request.headers, urlsplit(request.url).hostname)
            return inner(self, request, *args, **kwargs)

        return send

    _wrap(sys.modules["requests.adapters"].HTTPAdapter, "send", send)


def _patch_pools(module: Any) -> None:
    def carry(inner: Any) -> Any:
        def method(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
            return inner(self, _identified(func), *args, **kwargs)

        return method

    for name in ("apply_async", "_map_async", "imap", "imap_unordered"):
        setattr(module.ThreadPool, name, carry(getattr(module.ThreadPool, name)))


CLIENTS: dict[str, Callable[[Any], None]] = {
    "httpx": _patch_httpx,
    "httpx2": _patch_httpx,
    "aiohttp": _patch_aiohttp,
    "requests": _patch_requests,
    "multiprocessing.pool": _patch_pools,
}


def _wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    inner = owner.__dict__.get(name)
    if inner is None:
        sys.stderr.write(
            f"proofrig: {owner.__module__}.{owner.__name__} has no {name}(); its requests carry no "
            "trial identity (use isolated mode)\n"
        )
    elif not hasattr(inner, "_proofrig"):
        wrapped = make(inner)
        wrapped._proofrig = True
        setattr(owner, name, wrapped)


class _Finder(importlib.abc.MetaPathFinder):
    """Lets the other finders find a client library, and patches it once it has run."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in CLIENTS:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _patch_after(spec.loader, CLIENTS[fullname])
                return spec
        return None


def _patch_after(loader: Any, patch: Callable[[Any], None]) -> None:
    inner = loader.exec_module

    def exec_module(module: Any) -> None:
        inner(module)
        patch(module)

    loader.exec_module = exec_module


def _identified(fn: Any) -> Any:
    """`fn` as work of the trial that hands it on."""
    identity = IDENTITY.get()

    def work(*args: Any, **kwargs: Any) -> Any:
        before = IDENTITY.set(identity)
        try:
            return fn(*args, **kwargs)
        finally:
            IDENTITY.reset(before)

    return work


def _watch_queues() -> None:
    """Note who put what, and drop the identity of a worker that takes another trial's work."""

    def put(inner: Any) -> Any:
        def put(self: Any, item: Any, *args: Any, **kwargs: Any) -> Any:
            putters = vars(self).setdefault("_proofrig_putters", {})
            identity = IDENTITY.get()
            # first: another thread may take it before `inner` returns
            putters[id(item)] = identity if putters.get(id(item), identity) == identity else MANY
            return inner(self, item, *args, **kwargs)

        return put

    def get(inner: Any) -> Any:
        def get(self: Any, *args: Any, **kwargs: Any) -> Any:
            item = inner(self, *args, **kwargs)
            putters = vars(self).get("_proofrig_putters", {})
            putter = putters.get(id(item))
            if putter is not MANY:
                putters.pop(id(item), None)
            identity = IDENTITY.get()
            if putter not in (None, identity) and identity is not None and not _at_root():
                IDENTITY.set(None)
            return item

        return get

    for owner, putting, getting in (
        (queue.Queue, "put", "get"),
        (asyncio.Queue, "put_nowait", "get_nowait"),
    ):
        _wrap(owner, putting, put)
        _wrap(owner, getting, get)

    simple: Any = queue.SimpleQueue  # a type of C, whose own methods cannot be replaced
    makers = {"put": put, "put_nowait": put, "get": get, "get_nowait": get}
    methods = {name: make(getattr(simple, name)) for name, make in makers.items()}
    queue.SimpleQueue = type("SimpleQueue", (simple,), methods)  # type: ignore[misc,assignment]


def _at_root() -> bool:
    root = ROOT.get()
    if root is None or root is threading.current_thread():
        return root is not None
    try:
        return root is asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return False


def _carry_into_threads() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_thread(self: Any) -> None:
        identity, run = IDENTITY.get(), self.run
        if identity is not None:

            def run_identified() -> None:
                IDENTITY.set(identity)
                run()

            self.run = run_identified
        start(self)

    def submit_work(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return submit(self, _identified(fn), *args, **kwargs)

    threading.Thread.start = start_thread  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_work  # type: ignore[method-assign]


def install() -> None:
    """Patch what is imported, and what will be. Once per process."""
    for name, patch in CLIENTS.items():
        if name in sys.modules:
            patch(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
    _carry_into_threads()
    _watch_queues()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: IDENTITY.set(None))
