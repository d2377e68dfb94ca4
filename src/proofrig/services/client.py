"""A client of the rig's shared services, for agents: standard library only, Python 3.9+.

    from proofrig.services.client import connect

    memory = connect().kv("memory")
    memory.put("plan", {"step": 1})
    with connect().lock("jobs").acquire("row-7", ttl_s=5, wait_s=2) as held:
        memory.put("row-7", "done", fencing=held.fencing)

Rules:
1. One kept connection for each thread. A request is sent once: whether one that broke off has had
   its effect is for the caller to find out.
2. The trial's identity is in the URL, or goes with each request when the process is shared.
3. Everything but success raises ServiceError: `status` 409 for what was refused, 429 (with
   `retry_after` in seconds) for what is over a limit, 0 when no answer came.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import http.client
import json
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit

VARIABLE = "PROOFRIG_SERVICES_URL"
IDLE_S = 30.0  # an older connection may have been closed at the other end
_DEFAULT: dict[str, Services] = {}


class ServiceError(Exception):
    """What a service refused, or could not be asked. `error` is its answer, as far as it is one."""

    def __init__(self, status: int, message: str, error: Any = None, retry_after: float = 0.0):
        super().__init__(message)
        self.status = status
        self.error = error or {}
        self.retry_after = retry_after


def connect(url: str | None = None) -> Services:
    """The services at `url`; by default where PROOFRIG_SERVICES_URL says, one object per process.
    Raises ServiceError without either."""
    found = url or os.environ.get(VARIABLE)
    if not found:
        raise ServiceError(0, f"expected {VARIABLE} in the environment, which proofrig sets")
    root = found.rstrip("/")
    if root not in _DEFAULT:
        _DEFAULT[root] = Services(root)
    return _DEFAULT[root]


class _Connection(http.client.HTTPConnection):
    def __del__(self) -> None:
        self.close()  # its thread has ended


class Services:
    """All services of a rig. Any thread may use it."""

    def __init__(self, url: str, timeout_s: float = 60.0):
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path, self._timeout_s = parts.path.rstrip("/"), timeout_s
        self._mine = threading.local()

    def kv(self, name: str) -> Kv:
        return Kv(self, name)

    def lock(self, name: str) -> Lock:
        return Lock(self, name)

    def cache(self, name: str) -> Cache:
        return Cache(self, name)

    def queue(self, name: str) -> Queue:
        return Queue(self, name)

    def quota(self, name: str) -> Quota:
        return Quota(self, name)

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Any operation of any service; arguments that are None are left out."""
        given = {name: value for name, value in arguments.items() if value is not None}
        path = f"{self._path}/{quote(service)}/{quote(operation)}"
        headers = {"content-type": "application/json"}
        token = _token()
        if token:
            headers["baggage"] = f"proofrig.trial={token}"
        connection = self._connection(self._timeout_s + given.get("wait_s", 0))
        try:
            connection.request("POST", path, json.dumps(given).encode(), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            kind = type(error).__name__
            raise ServiceError(0, f"{service}.{operation}: no answer: {kind}: {error}") from error
        self._mine.used = time.monotonic()
        return _result(answer, body, f"{service}.{operation}")

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = _Connection(self._host, self._port)
        elif time.monotonic() - self._mine.used > IDLE_S:
            connection.close()
        connection.timeout = timeout_s
        if connection.sock is None:
            try:
                connection.connect()
            except OSError as error:
                where = f"{self._host}:{self._port}"
                raise ServiceError(0, f"no connection to {where}: {error}") from error
            connected: Any = connection.sock
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(timeout_s)
        return connection


def _token() -> str:
    """The trial's token, in a process that several trials share; else empty."""
    module = sys.modules.get("_proofrig_identity")
    identity = module.IDENTITY.get() if module is not None else None
    return identity[0] if identity else ""


def _result(answer: http.client.HTTPResponse, body: bytes, what: str) -> Any:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if answer.status == 200 and isinstance(value, dict) and "result" in value:
        return value["result"]
    error = value.get("error") if isinstance(value, dict) else None
    said = (
        error.get("message") if isinstance(error, dict) else body[:200].decode("utf-8", "replace")
    )
    wait = answer.headers.get("retry-after-ms")
    raise ServiceError(
        answer.status, f"{what}: {answer.status}: {said}", error, float(wait or 0) / 1000
    )


class Face:
    """One service."""

    def __init__(self, services: Services, name: str):
        self._services = services
        self.name = name

    def call(self, operation: str, **arguments: Any) -> Any:
        return self._services.call(self.name, operation, **arguments)


class Kv(Face):
    """Key-value memory. Versions begin at 1; 0 is a key that never was."""

    def get(self, key: str) -> Any:
        """The value, None when there is none."""
        return self.read(key)[0]

    def read(self, key: str) -> Any:
        """(value, version)."""
        found = self.call("get", key=key)
        return found["value"], found["version"]

    def put(self, key: str, value: Any, fencing: int | None = None) -> int:
        """The new version."""
        return int(self.call("put", key=key, value=value, fencing=fencing)["version"])

    def cas(self, key: str, value: Any, expected: int, fencing: int | None = None) -> int:
        """The new version. Raises ServiceError 409 when `expected` is no longer the version."""
        given = {"key": key, "value": value, "expected": expected, "fencing": fencing}
        return int(self.call("cas", **given)["version"])

    def delete(self, key: str, fencing: int | None = None) -> None:
        self.call("delete", key=key, fencing=fencing)

    def incr(self, key: str, value: int = 1, fencing: int | None = None) -> Any:
        """The new value."""
        return self.call("incr", key=key, value=value, fencing=fencing)["value"]

    def append(self, key: str, value: Any, fencing: int | None = None) -> Any:
        """The new list."""
        return self.call("append", key=key, value=value, fencing=fencing)["value"]


class Lock(Face):
    """Locks by key."""

    def acquire(self, key: str, ttl_s: float | None = None, wait_s: float = 0.0) -> Held:
        """Raises ServiceError 409 when it is still held by another after `wait_s`."""
        found = self.call("acquire", key=key, ttl_s=ttl_s, wait_s=wait_s)
        return Held(self, key, found.get("fencing"))


class Held:
    """A lock that is held until `release`, or the end of the `with` block."""

    def __init__(self, lock: Lock, key: str, fencing: int | None):
        self._lock = lock
        self.key = key
        self.fencing = fencing

    def renew(self) -> None:
        """Raises ServiceError 409 when it is no longer held."""
        self._lock.call("renew", key=self.key, fencing=self.fencing)

    def release(self) -> None:
        """Raises ServiceError 409 when it is no longer held."""
        self._lock.call("release", key=self.key, fencing=self.fencing)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self.release()
        except ServiceError:
            if kind is None:  # else what went wrong inside says more
                raise


class Cache(Face):
    """A semantic cache."""

    def get(self, query: str) -> Any:
        """The answer to the like of this query; None when there is none."""
        found = self.call("get", query=query)
        return found["answer"] if found["hit"] else None

    def put(self, query: str, answer: Any) -> None:
        self.call("put", query=query, answer=answer)


class Queue(Face):
    """A queue that delivers each message at least once."""

    def publish(self, body: Any) -> str:
        """The message's id."""
        return str(self.call("publish", body=body)["message"])

    def receive(self, wait_s: float = 0.0) -> Any:
        """{"message": id, "body", "delivery"}; None when nothing came."""
        found = self.call("receive", wait_s=wait_s)
        return found if found["message"] is not None else None

    def ack(self, message: str) -> None:
        """Raises ServiceError 409 when it was too late: it will be delivered again."""
        self.call("ack", message=message)


class Quota(Face):
    """A quota-limited API."""

    def take(self, amount: int = 1, attempt: int | None = None) -> Any:
        """`attempt`: which try of the same call it is, from 1; left out, it is worked out from what
        comes after a refusal. Raises ServiceError 429 with `retry_after` when over the limit."""
        said = {} if attempt is None else {"attempt": attempt}
        return self.call("take", amount=amount, **said)


class AsyncServices:
    """The same with awaitables: `await AsyncServices().kv("memory").get("plan")`. Calls run in
    threads, each with the context of its caller; `threads` of them may wait at once."""

    def __init__(self, services: Services | None = None, threads: int = 128):
        self._services = services or connect()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="proofrig-services")

    def __getattr__(self, name: str) -> Any:
        """`kv`, `lock`, `cache`, `queue` and `quota`."""
        make = getattr(self._services, name)
        return lambda service: _Awaited(make(service), self._pool)


class _Awaited:
    def __init__(self, face: Any, pool: ThreadPoolExecutor):
        self._face = face
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._face, name)
        if not callable(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            work = functools.partial(contextvars.copy_context().run, method, *args, **kwargs)
            found = await asyncio.get_running_loop().run_in_executor(self._pool, work)
            return _Awaited(found, self._pool) if isinstance(found, Held) else found

        return call

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self.release()
        except ServiceError:
            if kind is None:
                raise
