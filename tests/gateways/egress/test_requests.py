"""Requests that are read: plain and intercepted ones, what passes, what is written down."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from egress_rig import TOKEN, EgressRig, Handler, TestCA, egress_rig, host, raw, wire
from proofrig.faults.http_error import HttpError
from proofrig.faults.reset import Reset
from proofrig.faults.truncated_body import TruncatedBody
from proofrig.gateways.egress.limits import EgressLimits

CREDENTIALS = b"proxy-authorization: Basic dG9rLTAxMjM0NTY3ODlhYmNkZWY6eA==\r\n"


@dataclass
class Web:
    """A client behind the gateway, before one host."""

    rig: EgressRig
    client: httpx.AsyncClient
    url: str


@asynccontextmanager
async def served(
    tmp_path: Path, handler: Handler, seen: str = "plain", **settings: Any
) -> AsyncIterator[Web]:
    """seen: `plain` for http://, `intercepted` for https:// whose TLS ends at the rig."""
    ca = TestCA(tmp_path)
    if seen == "intercepted":
        settings["intercept"] = ["localhost"]
    async with (
        host(handler, ca.server() if seen == "intercepted" else None) as url,
        egress_rig(tmp_path / "run", tls=ca.client(), **settings) as rig,
        httpx.AsyncClient(proxy=rig.proxy, verify=trust(rig) or True) as client,
    ):
        yield Web(rig, client, url)


def trust(rig: EgressRig) -> Any:
    import ssl

    return ssl.create_default_context(cafile=rig.gateway.bundle) if rig.gateway.bundle else None


async def mirror(request: web.Request) -> web.Response:
    """Answers what it got."""
    body = await request.read()
    headers = [[name, value] for name, value in request.headers.items()]
    said = {"method": request.method, "path": request.raw_path, "headers": headers}
    return web.json_response(said | {"size": len(body)}, headers={"x-mine": "1"})


both = pytest.mark.parametrize("seen", ["plain", "intercepted"])


@both
async def test_a_request_passes_and_is_an_action(tmp_path: Path, seen: str) -> None:
    async with served(tmp_path, mirror, seen) as web_:
        answer = await web_.client.post(
            f"{web_.url}/a%2Fb?q=1&q=%20",
            content=b"\x00body",
            headers={"Authorization": "Bearer s"},
        )
        (action,) = await web_.rig.ended(1)
        got = answer.json()
        headers = {name.lower(): value for name, value in got["headers"]}
        assert (got["method"], got["path"], got["size"]) == ("POST", "/a%2Fb?q=1&q=%20", 5)
        assert headers["authorization"] == "Bearer s"
        assert "proxy-authorization" not in headers and "proxy-connection" not in headers
        assert answer.headers["x-mine"] == "1"
        assert (action.name, action.outcome, action.trial) == ("egress.post", "ok", "case:1")
        assert (action.attr("seen"), action.attr("channel")) == (seen, "proxy")
        assert (action.attr("method"), action.attr("path")) == ("POST", "/a/b")
        assert action.attr("status") == 200
        assert action.attr("bytes_up") > 5
        assert action.attr("bytes_down") > len(answer.content)
        moved = action.attr("bytes_up") + action.attr("bytes_down")
        assert action.attr("actual")["bytes"] == moved
        assert web_.rig.payload(action.attr("request")) == b"\x00body"
        assert web_.rig.payload(action.attr("response")) == answer.content


@both
async def test_a_package_that_is_fetched_is_told_with_its_bytes(tmp_path: Path, seen: str) -> None:
    async def wheel(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 5000)

    async with served(tmp_path, wheel, seen) as web_:
        await web_.client.get(f"{web_.url}/packages/ab/idna-3.7-py3-none-any.whl")
        await web_.client.post(f"{web_.url}/packages/ab/idna-3.7-py3-none-any.whl")
        fetch, other = await web_.rig.ended(2)
        said = [fetch.attr(name) for name in ("manager", "package", "version", "metadata")]
        assert said == ["pip", "idna", "3.7", None]
        assert fetch.attr("bytes_down") > 5000
        assert other.attr("package") is None


@both
async def test_a_body_of_a_known_length_passes_in_its_pieces(tmp_path: Path, seen: str) -> None:
    go = asyncio.Event()

    async def pieces(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-length": "10"})
        await answer.prepare(request)
        await answer.write(b"first")
        await go.wait()  # the agent has it
        await answer.write(b"other")
        return answer

    async with served(tmp_path, pieces, seen) as web_:
        async with web_.client.stream("GET", web_.url) as answer:
            assert answer.headers["content-length"] == "10"
            came = []
            async for chunk in answer.aiter_raw():
                came.append(chunk)
                go.set()
        (action,) = await web_.rig.ended(1)
        assert b"".join(came) == web_.rig.payload(action.attr("response")) == b"firstother"
        assert action.outcome == "ok"


@pytest.mark.parametrize("limit", range(180, 400, 20))
async def test_wherever_the_bytes_run_out_no_more_pass(tmp_path: Path, limit: int) -> None:
    async def short(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50)

    async with served(tmp_path, short, max_bytes=limit) as web_:
        try:
            answer = await web_.client.get(web_.url)
        except httpx.RemoteProtocolError:
            passed = False
        else:
            passed = answer.status_code == 200
        (action,) = await web_.rig.ended(1)
        moved = action.attr("bytes_up") + action.attr("bytes_down")
        assert moved <= limit
        assert passed == (action.outcome == "ok") == (action.attr("blocked") is None)


@both
async def test_a_stream_passes_chunk_for_chunk(tmp_path: Path, seen: str) -> None:
    go = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for number in range(5):
            await answer.write(b"data: %d\n\n" % number)
            await go.wait()
            go.clear()
        return answer

    async with served(tmp_path, events, seen) as web_:
        came = []
        async with web_.client.stream("GET", f"{web_.url}/") as answer:
            async for chunk in answer.aiter_raw():
                came.append(chunk)  # the next is sent when this one was read
                go.set()
        (action,) = await web_.rig.ended(1)
    assert came == [b"data: %d\n\n" % number for number in range(5)]
    assert action.outcome == "ok"


@both
async def test_connections_are_kept_and_each_request_is_an_action(
    tmp_path: Path, seen: str
) -> None:
    async with served(tmp_path, mirror, seen) as web_:
        for number in range(20):
            assert (await web_.client.get(f"{web_.url}/{number}")).status_code == 200
        actions = await web_.rig.ended(20)
    assert [action.attr("path") for action in actions] == [f"/{n}" for n in range(20)]


@both
async def test_answers_without_a_body(tmp_path: Path, seen: str) -> None:
    async def bodiless(request: web.Request) -> web.Response:
        if request.path == "/304":
            return web.Response(status=304, headers={"etag": '"x"'})
        if request.path == "/204":
            return web.Response(status=204)
        return web.Response(body=b"x" * 70)

    async with served(tmp_path, bodiless, seen) as web_:
        head = await web_.client.head(f"{web_.url}/")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "70", b"")
        for status in (204, 304):
            answer = await web_.client.get(f"{web_.url}/{status}")
            assert (answer.status_code, answer.content) == (status, b"")
        assert {action.outcome for action in await web_.rig.ended(3)} == {"ok"}


async def test_encoded_bodies_pass_as_they_are(tmp_path: Path) -> None:
    packed = gzip.compress(b"hello" * 100)
    got = []

    async def gzipped(request: web.Request) -> web.Response:
        got.append((await request.read(), request.headers["content-encoding"]))
        return web.Response(body=packed, headers={"content-encoding": "gzip"})

    async with served(tmp_path, gzipped) as web_:
        answer = await web_.client.post(
            web_.url, content=packed, headers={"content-encoding": "gzip"}
        )
    assert answer.content == b"hello" * 100  # the client unpacks
    assert got == [(packed, "gzip")]


async def test_redirects_and_cookies_are_the_agents_business(tmp_path: Path) -> None:
    async def moved(request: web.Request) -> web.Response:
        answer = web.Response(status=302, headers={"location": "/elsewhere"})
        answer.headers.add("set-cookie", "a=1")
        answer.headers.add("set-cookie", "b=2")
        return answer

    async with served(tmp_path, moved) as web_:
        answer = await web_.client.get(web_.url)
        (action,) = await web_.rig.ended(1)
    assert answer.status_code == 302
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (action.outcome, action.attr("status")) == ("ok", 302)


async def test_an_error_of_the_host_is_a_failure_of_the_action(tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=500, text="mine")

    async with served(tmp_path, broken) as web_:
        answer = await web_.client.get(web_.url)
        (action,) = await web_.rig.ended(1)
    assert (answer.status_code, answer.text) == (500, "mine")
    assert (action.outcome, action.attr("status")) == ("fail", 500)
    assert action.attr("infra") is None


@both
async def test_a_denial_is_read_by_the_agent(tmp_path: Path, seen: str) -> None:
    rules = [
        {"name": "read-only", "deny": "egress.*", "when": {"method": {"in": ["POST", "DELETE"]}}},
        {"name": "no-admin", "deny": "egress.*", "when": {"path": {"matches": "^/admin"}}},
        {"name": "rest", "allow": "egress.*"},
    ]
    async with served(tmp_path, mirror, seen, policy={"rules": rules}) as web_:
        posted = await web_.client.post(f"{web_.url}/orders", content=b"x")
        admin = await web_.client.get(f"{web_.url}/%61dmin")
        fine = await web_.client.get(f"{web_.url}/orders")
        actions = await web_.rig.ended(3)
    assert (posted.status_code, admin.status_code, fine.status_code) == (403, 403, 200)
    assert posted.headers["x-proofrig-blocked"] == "forbidden"
    assert "by rule read-only" in posted.text
    assert [action.attr("rule") for action in actions] == ["read-only", "no-admin", "rest"]


async def test_a_place_that_is_not_allowed_is_a_denial(tmp_path: Path) -> None:
    async with served(tmp_path, mirror, allow=["example.com"]) as web_:
        answer = await web_.client.get(web_.url)
        (action,) = web_.rig.actions()
    assert answer.headers["x-proofrig-blocked"] == "not_allowed"
    assert action.denied and action.attr("blocked") == "not_allowed"


async def test_a_name_that_resolves_to_the_gateway_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as web_:
        answer = await web_.client.get(f"http://0x7f.1:{web_.rig.port}/")  # 127.0.0.1
        (action,) = web_.rig.actions()
    assert (answer.status_code, answer.headers["x-proofrig-blocked"]) == (403, "loop")
    assert (action.outcome, action.attr("blocked")) == ("fail", "loop")


async def test_a_host_that_cannot_be_reached(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as web_:
        answer = await web_.client.get("http://127.0.0.1:2/")
        (action,) = web_.rig.actions()
    assert answer.status_code == 502
    assert "127.0.0.1:2 cannot be reached" in answer.text
    assert (action.outcome, action.attr("infra")) == ("fail", None)


async def test_a_certificate_that_nobody_signed_is_not_taken(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    strangers = TestCA(other).server()
    async with host(mirror, strangers) as url, served(tmp_path, mirror, "intercepted") as web_:
        answer = await web_.client.get(url)
        (action,) = web_.rig.actions()
    assert answer.status_code == 502
    assert "certificate verify failed" in action.attr("error")


# ---- bytes


@both
async def test_bytes_used_up_end_the_answer(tmp_path: Path, seen: str) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(bytes(1000))
        return answer

    async with served(tmp_path, large, seen, max_bytes=10_000) as web_:
        got = 0
        with pytest.raises(httpx.RemoteProtocolError):
            async with web_.client.stream("GET", web_.url) as answer:
                async for chunk in answer.aiter_raw():
                    got += len(chunk)
        again = await web_.client.get(web_.url)
        cut, refused = await web_.rig.ended(2)
        assert 0 < got < 10_000
        assert cut.attr("bytes_up") + cut.attr("bytes_down") == 10_000
        assert (cut.outcome, cut.attr("blocked")) == ("fail", "byte_cap")
        assert refused.denied and refused.attr("blocked") == "byte_cap"
        assert "`egress.max_bytes`" in again.text
        assert web_.rig.notes("egress_cap") == [{"limit": 10_000, "used": 10_000}]


async def test_a_request_that_does_not_fit_does_not_leave(tmp_path: Path) -> None:
    reached = []

    async def seen(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with served(tmp_path, seen, max_bytes=1000) as web_:
        answer = await web_.client.post(web_.url, content=bytes(5000))
        (action,) = web_.rig.actions()
    assert (answer.status_code, reached) == (403, [])
    assert (action.outcome, action.attr("blocked")) == ("fail", "byte_cap")


async def test_each_trial_has_its_own_bytes(tmp_path: Path) -> None:
    async with served(tmp_path, mirror, max_bytes=1000) as web_:
        await web_.client.post(web_.url, content=bytes(5000))
        other = web_.rig.proxy_of("tok-of-the-other-one")
        async with httpx.AsyncClient(proxy=other) as client:
            assert (await client.get(web_.url)).status_code == 200


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, mirror, limits=EgressLimits(body=1000)) as web_:
        answer = await web_.client.post(web_.url, content=bytes(1001))
        assert answer.headers["x-proofrig-blocked"] == "too_large"
        assert (await web_.client.post(web_.url, content=bytes(1000))).status_code == 200


async def test_a_client_that_waits_to_be_told_to_go_on(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as web_:
        reader, writer = await asyncio.open_connection("127.0.0.1", web_.rig.port)
        writer.write(
            f"POST {web_.url}/ HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
            "content-length: 4\r\n".encode()
            + CREDENTIALS
            + b"\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


# ---- what goes wrong


@both
async def test_a_host_that_breaks_off_breaks_the_agents_answer(tmp_path: Path, seen: str) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"half of ")
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with served(tmp_path, breaks, seen) as web_:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await web_.client.get(web_.url)
        (action,) = await web_.rig.ended(1)
    assert (action.outcome, action.attr("status")) == ("fail", 200)


async def test_an_agent_that_goes_away_closes_the_hosts_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x")
                await asyncio.sleep(0.01)
        except (asyncio.CancelledError, ConnectionResetError):
            gone.set()
            raise

    async with served(tmp_path, slow) as web_:
        async with web_.client.stream("GET", web_.url) as answer:
            await anext(answer.aiter_raw())
        await asyncio.wait_for(gone.wait(), 10)
        (action,) = await web_.rig.ended(1)
    assert (action.outcome, action.attr("error")) == ("unknown", "the agent closed the connection")


async def test_a_trials_end_gives_up_its_requests(tmp_path: Path) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with served(tmp_path, never) as web_:
        asking = asyncio.create_task(web_.client.get(web_.url))
        await web_.rig.until("start", "egress.get")
        web_.rig.context.bindings.end(TOKEN)
        with pytest.raises(httpx.RemoteProtocolError):
            await asking
        (action,) = await web_.rig.ended(1)
        assert (action.outcome, action.attr("error")) == ("unknown", "the trial ended")
        late = await web_.client.get(web_.url)
        assert late.headers["x-proofrig-blocked"] == "late"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n", b"expected a whole URL"),
        (b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n", b"expected a whole URL"),
        (b"GET http://a:99999/ HTTP/1.1\r\nhost: a\r\n", b"400"),
        (b"GET http://a b/ HTTP/1.1\r\nhost: a\r\n", b"400"),
        (b"GET http://a/\xff HTTP/1.1\r\nhost: a\r\n", b"400"),
        (b"GET http://-/ HTTP/1.1\r\nhost: a\r\n", b"expected a host and a port"),
        (b"GET http://a/ HTTP/1.1\r\nx: " + b"y" * 60_000 + b"\r\n", b"400"),
    ],
)
async def test_what_no_proxy_can_read_is_refused(
    tmp_path: Path, request_: bytes, said: bytes
) -> None:
    async with egress_rig(tmp_path) as rig:
        answer = await raw(rig, request_ + b"connection: close\r\n" + CREDENTIALS + b"\r\n")
        assert rig.actions() == []
    assert answer.split()[1] == b"400" and said in answer


async def test_a_websocket_is_refused_and_said_to_be(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as web_:
        answer = await web_.client.get(
            web_.url, headers={"connection": "Upgrade", "upgrade": "websocket"}
        )
        (action,) = web_.rig.actions()
    assert (answer.status_code, answer.headers["x-proofrig-blocked"]) == (403, "upgrade")
    assert action.denied and "wss://" in action.attr("fix")


async def test_an_answer_that_is_no_http(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01 not http\r\n\r\n")
        writer.close()

    async with egress_rig(tmp_path) as rig, wire(nonsense) as port:
        async with httpx.AsyncClient(proxy=rig.proxy) as client:
            answer = await client.get(f"http://localhost:{port}/")
        (action,) = rig.actions()
    assert (answer.status_code, action.outcome) == (502, "fail")


# ---- faults


@both
async def test_a_fault_answers_in_the_hosts_place(tmp_path: Path, seen: str) -> None:
    faults = [HttpError(status=503, on={"host": "localhost", "path": "/flaky"}, times=1)]
    async with served(tmp_path, mirror, seen, faults=faults) as web_:
        got = [
            (await web_.client.get(f"{web_.url}/{p}")).status_code for p in ("a", "flaky", "flaky")
        ]
        actions = await web_.rig.ended(3)
        (fault,) = web_.rig.entries("fault")
    assert got == [200, 503, 200]
    assert [action.attr("struck") for action in actions] == [None, ["http_error"], None]
    assert fault.id == actions[1].id


@both
async def test_a_fault_resets_the_connection(tmp_path: Path, seen: str) -> None:
    async with served(tmp_path, mirror, seen, faults=[Reset()]) as web_:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await web_.client.get(web_.url)
        (action,) = await web_.rig.ended(1)
    assert (action.outcome, action.attr("struck")) == ("fail", ["reset"])


@both
async def test_a_fault_cuts_a_body(tmp_path: Path, seen: str) -> None:
    async with served(tmp_path, mirror, seen, faults=[TruncatedBody()]) as web_:
        try:
            answer = await web_.client.get(web_.url)
        except httpx.HTTPError:
            pass
        else:
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra"):
                answer.json()
        (action,) = await web_.rig.ended(1)
    assert action.attr("struck") == ["truncated_body"]


# ---- who asks, and what is not asked for


async def test_baggage_names_the_trial_where_the_credentials_name_none(tmp_path: Path) -> None:
    async with served(tmp_path, mirror, "intercepted") as web_:
        for user in ("proofrig-shared", "whoever"):
            async with httpx.AsyncClient(
                proxy=web_.rig.proxy_of(user), verify=trust(web_.rig)
            ) as client:
                baggage = {"baggage": f"proofrig.trial={TOKEN},mine=1"}
                answer = await client.get(web_.url, headers=baggage)
                sent = {name.lower(): value for name, value in answer.json()["headers"]}
                assert sent["baggage"] == "mine=1"
                assert (await client.get(web_.url)).status_code == 403  # nobody's
        mine = web_.rig.actions()
        assert [(action.trial, action.attr("channel")) for action in mine] == [
            ("case:1", "baggage"),
            ("case:1", "baggage"),
        ]
        assert len(web_.rig.notes("unattributed")) == 2


async def test_plain_requests_without_credentials_are_asked_for_them(tmp_path: Path) -> None:
    async with served(tmp_path, mirror) as web_:
        async with httpx.AsyncClient(proxy=web_.rig.bare) as client:
            answer = await client.get(web_.url)
            assert answer.status_code == 407
            assert answer.headers["proxy-authenticate"].startswith("Basic ")
        assert (await web_.client.get(web_.url)).status_code == 200  # it came back with them
        await web_.rig.gateway.close()
        assert web_.rig.notes("unattributed") == []


@both
async def test_telemetry_is_answered_here(tmp_path: Path, seen: str) -> None:
    reached = []

    async def seen_by(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with served(tmp_path, seen_by, seen, telemetry=["localhost/v1/traces"]) as web_:
        answer = await web_.client.post(f"{web_.url}/v1/traces/x", content=b"12345")
        assert answer.status_code == 204
        assert (await web_.client.get(f"{web_.url}/v1/other")).status_code == 200
        assert reached == ["/v1/other"]
        assert len(web_.rig.actions()) == 1
        assert web_.rig.notes("telemetry") == [
            {"host": "localhost", "method": "POST", "path": "/v1/traces/x", "bytes": 5}
        ]


async def test_the_rigs_own_port_is_reached_without_an_action(tmp_path: Path) -> None:
    async with host(mirror) as url:
        port = int(url.rpartition(":")[2])
        async with egress_rig(tmp_path, rig_port=port) as rig:
            async with httpx.AsyncClient(proxy=rig.proxy) as client:
                bare = await client.get(f"http://127.0.0.1:{port}/tools?x=1")
                named = await client.get(f"http://127.0.0.1:{port}/t/{TOKEN}/tools")
            assert bare.json()["path"] == f"/t/{TOKEN}/tools?x=1"
            assert named.json()["path"] == f"/t/{TOKEN}/tools"
            assert rig.actions() == []
