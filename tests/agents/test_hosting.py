"""The lines between runner and host."""

from __future__ import annotations

import json

import pytest

from proofrig.agents.agent import Attempt, Reply
from proofrig.agents.hosting import HostReply, HostSettings, decode, job, replies, unusable
from proofrig.sandboxes.sandbox import Exit


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b'{"i": 3, "a": "yes"}', Reply(answer="yes")),
        (b'{"i": 3, "a": "y", "t": true}', Reply(answer="y", truncated=True)),
        (b'{"i": 3, "e": "E: x", "d": "tb"}', Reply(ending="error", error="E: x", detail="tb")),
    ],
)
def test_decode(line: bytes, reply: Reply) -> None:
    assert decode(line).i == 3
    assert decode(line).reply() == reply


@pytest.mark.parametrize("line", [b"", b"junk", b"\xff", b"[1]", b'{"i": "x"}'])
def test_junk_is_no_reply(line: bytes) -> None:
    said = decode(line)
    assert (said.i, said.ready, said.fatal) == (-1, False, None)


def test_only_whole_lines_count() -> None:
    assert [said.i for said in replies(b'{"ready":true}\n{"i":0}\n{"i":1')] == [-1, 0]
    assert replies(b"") == []


def test_a_job_is_one_line() -> None:
    messages = [{"role": "user", "content": "a\nb"}]
    attempt = Attempt("c:0", messages, "tok", {"A": "1"}, "/w", 5.0, seed=2)
    line = job(attempt, 7, {"B": "2"})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "i": 7,
        "task": "a\nb",
        "trial": "c:0",
        "token": "tok",
        "seed": 2,
        "workdir": "/w",
        "messages": messages,
        "env": {"B": "2"},
    }


def test_the_first_line_of_a_host() -> None:
    settings = HostSettings("python", "a:b", ["/s"], {}, "/s")
    said = json.loads(settings.config("check"))
    assert said == {"mode": "check", "target": "a:b", "paths": ["/s"], "cap": 1_000_000}


def test_why_a_host_did_not_get_ready() -> None:
    assert unusable("a:b", HostReply(fatal="no module"), Exit(code=0)) == "no module"
    assert unusable("a:b", None, Exit(code=4, stderr=b"why")) == (
        "importing the agent 'a:b' did not come to an end: exit code 4\nwhy"
    )


def test_what_a_box_may_not_show_is_hinted_at() -> None:
    absent = HostReply(fatal="ModuleNotFoundError: No module named 'helper'")
    assert unusable("a:b", absent, Exit(code=0)) == absent.fatal
    assert unusable("a:b", absent, Exit(code=0), boxed=True).endswith("`sandbox.files` names")
    broken = HostReply(fatal="SyntaxError: bad")
    assert unusable("a:b", broken, Exit(code=0), boxed=True) == broken.fatal
