"""Puts a trial's identity on the HTTP requests an agent makes inside a shared host.

Loaded by `host.py` in the agent's own interpreter: standard library only, Python 3.9+. Patches
httpx, httpx2, aiohttp and requests, also when they are imported later.

Rules:
1. Only requests to this machine are marked; on any other host our mark is taken off again (a
   redirect copies headers).
2. A baggage header that is there keeps its other members; a traceparent that is there stays.
3. Identity is the context variable, nothing else: it follows tasks by itself, and is carried into
   threads and thread pools. Work that has no identity gets no mark; nothing is guessed.
"""

from __future__ import annotations

import contextvars
import hashlib
import importlib.abc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

IDENTITY: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "proofrig_identity", default=None
)  # (token, trial)
LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1", "[::1]"))
MEMBER = "proofrig.trial="


def traceparent(token: str, trial: str) -> str:
    trace = hashlib.sha256(token.encode()).hexdigest()[:32]
    span = hashlib.sha256(f"{token} {trial}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-01"


def mark(headers: Any, host: str | None) -> None:
    """Set or take off the identity on a mutable mapping of headers (rules 1 and 2)."""
    identity = IDENTITY.get()
    baggage = headers.get("baggage") or ""
    others = [part for part in baggage.split(",") if part.strip()[: len(MEMBER)] != MEMBER]
    if host in LOOPBACK:
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


CLIENTS: dict[str, Callable[[Any], None]] = {
    "httpx": _patch_httpx,
    "httpx2": _patch_httpx,
    "aiohttp": _patch_aiohttp,
    "requests": _patch_requests,
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
        identity = IDENTITY.get()

        def work() -> Any:
            before = IDENTITY.set(identity)
            try:
                return fn(*args, **kwargs)
            finally:
                IDENTITY.reset(before)

        return submit(self, work)

    threading.Thread.start = start_thread  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_work  # type: ignore[method-assign]


def install() -> None:
    """Patch what is imported, and what will be. Once per process."""
    for name, patch in CLIENTS.items():
        if name in sys.modules:
            patch(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
    _carry_into_threads()
