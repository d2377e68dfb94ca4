"""Real httpx and httpx2 pools, and the real openai SDK, against a small server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import httpx
import httpx2
import pytest

from proofrig.observers import RecordingTransport
from proofrig.observers.recorder import Recorder

from .conftest import Recorded

LIBRARIES = [httpx, httpx2]
MS = 1_000_000


def async_client(library: Any, recorder: Recorder, **limits: Any) -> Any:
    inner = library.AsyncHTTPTransport(limits=library.Limits(**limits))
    timeout = library.Timeout(5, pool=0.2)
    return library.AsyncClient(
        transport=RecordingTransport(inner, recorder=recorder), timeout=timeout
    )


@pytest.mark.parametrize("library", LIBRARIES)
async def test_waiting_for_a_connection_is_told_apart(
    recorded: Recorded, server: str, library: Any
) -> None:
    async with async_client(library, recorded.recorder, max_connections=1) as client:
        await asyncio.gather(*[client.get(f"{server}/slow/40") for _ in range(2)])
    first, second = recorded.actions()
    assert [a.outcome for a in (first, second)] == ["ok", "ok"]
    assert second.attr("wait_ns") > max(35 * MS, first.attr("wait_ns"))
    assert first.attr("connect_ns") > 0 and second.attr("connect_ns") is None
    for action in (first, second):
        assert action.start and action.end
        parts = [action.attr(f"{p}_ns", 0) for p in ("wait", "connect", "send", "ttfb", "body")]
        assert parts[3] >= 38 * MS
        assert sum(parts) <= action.end.t - action.start.t
    about = ("host", "method", "path", "attempt", "status", "stream")
    host = server.removeprefix("http://")
    assert (
        recorded.told(*about) == [("pool.request", "ok", host, "GET", "/slow/40", 1, 200, None)] * 2
    )
    (note,) = [e for e in recorded.entries() if e.name == "pool"]
    service = note.attrs["service"]
    assert service.startswith(f"{library.__name__}:")
    assert note.attrs == {"service": service, "max_connections": 1, "max_keepalive": 1}
    assert {a.attr("service") for a in recorded.actions()} == {service}


@pytest.mark.parametrize("library", LIBRARIES)
async def test_what_does_not_end_well(recorded: Recorded, server: str, library: Any) -> None:
    async with async_client(library, recorded.recorder, max_connections=1) as client:
        async with client.stream("GET", f"{server}/stream/3/1") as response:
            with pytest.raises(library.PoolTimeout):
                await client.get(f"{server}/status/200")
            async for _ in response.aiter_bytes():
                break
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(f"{server}/slow/5000"), 0.05)
        with pytest.raises(library.RemoteProtocolError):
            await client.get(f"{server}/broken")
        with pytest.raises(library.ConnectError):
            await client.get("http://127.0.0.1:1/")
        async with client.stream("GET", f"{server}/status/200"):
            pass
    told = [(a.attr("path"), a.outcome, a.attr("error")) for a in recorded.actions()]
    early = "the answer was not read to its end"
    assert [one[:2] for one in told] == [
        ("/status/200", "fail"),
        ("/stream/3/1", "ok"),
        ("/slow/5000", "unknown"),
        ("/broken", "unknown"),
        ("/", "fail"),
        ("/status/200", "ok"),
    ]
    assert told[0][2].startswith("PoolTimeout") and told[1][2] == told[5][2] == early
    assert told[2][2].startswith("CancelledError")
    assert told[3][2].startswith("RemoteProtocolError")
    starved, streamed = recorded.actions()[:2]
    assert starved.attr("wait_ns") >= 190 * MS and starved.attr("ttfb_ns") is None
    assert (streamed.attr("stream"), streamed.attr("status")) == (True, 200)
    assert streamed.attr("body_ns") >= 190 * MS  # it held the connection all that time


@pytest.mark.parametrize("library", LIBRARIES)
def test_plain_clients_redirects_and_threads(recorded: Recorded, library: Any) -> None:
    program = SERVE.format(n=9)
    serving = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert serving.stdout is not None
    url = f"http://127.0.0.1:{serving.stdout.readline().strip()}"
    seen: list[str] = []
    try:
        inner = library.HTTPTransport(limits=library.Limits(max_connections=1))
        transport = RecordingTransport(inner, recorder=recorded.recorder)
        with library.Client(transport=transport, follow_redirects=True) as client:
            mine = {"trace": lambda name, info: seen.append(name)}
            assert client.get(f"{url}/to", extensions=mine).text == "said"
            threads = [threading.Thread(target=client.get, args=(f"{url}/slow",)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        serving.kill()
        serving.wait()
        serving.stdout.close()
    assert [(a.attr("path"), a.attr("status"), a.outcome) for a in recorded.actions()] == [
        ("/to", 302, "ok"),
        ("/said", 200, "ok"),
        ("/slow", 200, "ok"),
        ("/slow", 200, "ok"),
    ]
    assert recorded.actions()[3].attr("wait_ns") > 30 * MS
    assert seen.count("http11.response_closed.complete") == 2


SERVE = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.04)
        self.send_response(302 if self.path == "/to" else 200)
        if self.path == "/to":
            self.send_header("location", "/said")
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"said")
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


async def test_the_openai_sdk_with_its_retries(recorded: Recorded, server: str) -> None:
    import openai

    http_client = async_client(httpx, recorded.recorder)
    async with openai.AsyncOpenAI(
        base_url=f"{server}/v1", api_key="k", http_client=http_client
    ) as client:
        messages: Any = [{"role": "user", "content": "hello"}]
        answer = await client.chat.completions.create(model="m", messages=messages)
        assert answer.choices[0].message.content == "hi"
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["hi"] * 3
    assert recorded.told("attempt", "status", "stream") == [
        ("pool.request", "ok", 1, 500, None),
        ("pool.request", "ok", 2, 200, None),
        ("pool.request", "ok", 1, 500, None),
        ("pool.request", "ok", 2, 200, True),
    ]


def test_a_transport_without_a_pool_tells_what_it_can(recorded: Recorded) -> None:
    mock = httpx.MockTransport(lambda request: httpx.Response(204))
    with httpx.Client(transport=RecordingTransport(mock, recorder=recorded.recorder)) as client:
        assert client.get("http://nowhere.test/x").status_code == 204
    assert recorded.told("path", "status") == [("pool.request", "ok", "/x", 204)]


def test_without_a_history_requests_pass() -> None:
    mock = httpx.MockTransport(lambda request: httpx.Response(204, text=str(request.extensions)))
    with httpx.Client(transport=RecordingTransport(mock, recorder=Recorder({}))) as client:
        assert "trace" not in client.get("http://nowhere.test/x").text
