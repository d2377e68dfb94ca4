"""The gateway's own answers, as the SDKs read them."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from proofrig.errors import Denied
from proofrig.gateways import answers
from proofrig.gateways.gateway import Binding
from proofrig.gateways.identity import Identity
from proofrig.wire import CODECS


def read(response: web.Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    error: dict[str, object] = msgspec.json.decode(response.body)["error"]
    return error


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("budget_exceeded", 429),
        ("limit_retries", 429),
        ("limit_context", 400),
        ("limit_tools", 403),
        ("flood_detected", 429),
        ("tool_not_allowed", 403),
        ("price_unknown", 403),
    ],
)
def test_a_denial_tells_where_what_is_left_and_what_to_do(code: str, status: int) -> None:
    reason = Denied(code, scope="acme/shop", remaining={"calls": 0, "tokens": 9}, fix="ask less")
    for codec in CODECS.values():
        response = answers.denied(codec, reason)
        error = read(response)
        assert response.status == status
        assert response.headers["x-should-retry"] == "false"
        assert error["message"] == (
            f"proofrig refused this call: {code} at acme/shop; what remains there: 0 calls, "
            "9 tokens. ask less"
        )
        assert error["proofrig"] == {
            "code": code,
            "scope": "acme/shop",
            "remaining": {"calls": 0, "tokens": 9},
            "fix": "ask less",
        }


def test_a_late_request_is_told_which_trial_has_ended() -> None:
    late = Identity("late", "key", Binding("t", "case:1", "acme", "acme/x"))
    response = answers.unattributed(CODECS["messages"], late)
    assert response.status == 401 and "case:1" in str(read(response)["message"])


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (Identity("none", "none"), "got nothing, which belongs"),
        (Identity("unknown", "key", hint="...abcd"), "got a key ending in ...abcd"),
        (Identity("unknown", "baggage", hint="..."), "got baggage ending in ..."),
    ],
)
def test_a_stranger_is_told_what_was_expected(identity: Identity, words: str) -> None:
    message = str(read(answers.unattributed(CODECS["responses"], identity))["message"])
    assert words in message and "environment proofrig gives" in message


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/v1/embeddings", "/v1/embeddings"), ("/t/secret/v1/audio", "/t/<token>/v1/audio")],
)
def test_a_path_that_is_not_served(path: str, shown: str) -> None:
    response = answers.not_served(None, path, ["messages"])
    message = str(read(response)["message"])
    assert response.status == 404
    assert f"got {shown}." in message and "/v1/messages" in message and "secret" not in message


@pytest.mark.parametrize(
    ("wait_s", "retry", "seconds"), [(0.2, "true", "1"), (60, "true", "60"), (61, "false", "61")]
)
def test_a_window_says_when_to_come_again_and_whether_to_wait(
    wait_s: float, retry: str, seconds: str
) -> None:
    reason = Denied("rate_exceeded", scope="acme", rule="r", retry_ns=round(wait_s * 1e9))
    for codec in (*CODECS.values(), None):
        response = answers.denied(codec, reason)
        facts = read(response)["proofrig"]
        assert response.status == 429
        assert response.headers["x-should-retry"] == retry
        assert response.headers["retry-after"] == seconds
        assert facts == {
            "code": "rate_exceeded",
            "scope": "acme",
            "remaining": {},
            "fix": "",
            "rule": "r",
            "retry_after_ms": round(wait_s * 1000),
        }
