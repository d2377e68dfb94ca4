"""The service as a user starts it: its own process, real signals, and Schemathesis against it."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from authority_process import ADMIN, KEYS, POLICY, TENANT, schemathesis, serving

RUN = "acme/desk/bot/r1"


def call(url: str, path: str, body: Any = None, method: str = "POST") -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("key", ["", ADMIN, TENANT], ids=["without keys", "admin", "tenant"])
def test_schemathesis_finds_nothing(tmp_path: Path, key: str) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "keys.json").write_text(KEYS)
    words = ["--policy", str(tmp_path / "policy.yaml"), "--journal", str(tmp_path / "journal")]
    words += ["--keys", str(tmp_path / "keys.json")] if key else []
    with serving(*words) as process:
        few = ("--phases", "examples,fuzzing,stateful", "--max-examples", "8")
        code, said = schemathesis(process.url, tmp_path, *few, key=key)
        ended, complaints = process.end(signal.SIGTERM)
    assert code == 0, said
    assert (ended, complaints) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_also_while_somebody_waits_for_an_answer(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("wait_s: 2", "wait_s: 60"))
    with serving("--policy", str(tmp_path / "policy.yaml")) as process:
        body = {"id": "a", "scope": RUN, "name": "tool.refund", "amounts": {"calls": 1}}
        body["arguments"] = {"amount": 5}
        assert call(process.url, "/reservations", body)[0] == 202
        port = int(process.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            path = "/v1/reservations/a/answer?wait_s=60"
            waiting.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert call(process.url, "/health", method="GET")[0] == 200
            assert process.end(number) == (0, "")
            waiting.settimeout(5)
            assert b"202 Accepted" in waiting.recv(1000)


def test_after_kill_9_the_same_calls_get_the_same_bytes(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    hold = {"calls": 1, "tokens": 100}
    asked = [
        {"id": f"a{n}", "scope": RUN, "name": "tool.x", "amounts": hold, "arguments": {"n": n}}
        for n in range(5)
    ]
    calls: list[tuple[str, Any]] = [("/reservations", body) for body in asked]
    calls += [(f"/reservations/a{n}/start", None) for n in range(4)]
    calls += [("/reservations/a0/commit", {"actual": {"tokens": 130}})]
    calls += [("/events", {"id": "e", "scope": RUN, "name": "tool.x", "amounts": {"tokens": 1}})]
    with serving("--journal", journal) as process:
        limit = {"amounts": {"tokens": 410}}
        assert call(process.url, "/budgets/acme", limit, "PUT")[0] == 200
        first = [call(process.url, *one) for one in calls]
        assert [status for status, _ in first] == [201] * 4 + [429] + [200] * 5 + [201]
        balances = call(process.url, "/balances?scope=acme", method="GET")
        process.child.kill()
        process.child.wait()
    with serving("--journal", journal) as process:
        kept = [n for n in range(len(calls)) if calls[n][0] != "/reservations/a0/start"]
        assert [call(process.url, *calls[n]) for n in kept] == [first[n] for n in kept]
        assert call(process.url, "/balances?scope=acme", method="GET") == balances


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "there are no API keys"),
        (["--keys", "none.yaml"], "none.yaml: expected a readable file"),
        (["--journal", "a", "--redis", "redis://b"], "got both"),
    ],
)
def test_what_cannot_be_served_ends_with_2(words: list[str], said: str) -> None:
    with pytest.raises(AssertionError, match=said), serving(*words):
        pass
