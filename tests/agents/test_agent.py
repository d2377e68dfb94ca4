from __future__ import annotations

from typing import Any

import pytest

from proofrig.agents.agent import Reply, decoded, ended_badly, task_messages, task_text
from proofrig.sandboxes.sandbox import Exit

USAGE = {"max_rss_bytes": 0, "cpu_ms": 0, "strays": 0}


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("do", "do"),
        ([{"role": "user", "content": "do"}], "do"),
        (
            [{"role": "system", "content": "be"}, {"role": "user", "content": [{"text": "do"}]}],
            'system: be\n\nuser: [{"text": "do"}]',
        ),
        ([], ""),
    ],
)
def test_task_text(task: Any, text: str) -> None:
    assert task_text(task) == text


def test_task_messages() -> None:
    assert task_messages("do") == [{"role": "user", "content": "do"}]
    assert task_messages([{"role": "system", "content": "x"}]) == [
        {"role": "system", "content": "x"}
    ]


@pytest.mark.parametrize(
    ("data", "text", "remark"),
    [
        (b"caf\xc3\xa9", "café", ""),
        (b"\xef\xbf\xbd", "\ufffd", ""),
        (b"a\xffb\xfe", "a\ufffdb\ufffd", "invalid UTF-8, 2 places replaced by U+FFFD"),
    ],
)
def test_decoded(data: bytes, text: str, remark: str) -> None:
    assert decoded(data) == (text, remark)


@pytest.mark.parametrize(
    ("exit", "reply"),
    [
        (Exit(code=0), None),
        (
            Exit(code=3, stderr=b"why"),
            Reply(
                ending="error",
                error="exit code 3",
                detail="why",
                exit_code=3,
                usage=USAGE,
            ),
        ),
        (
            Exit(code=None, signal=11),
            Reply(ending="killed", error="killed by SIGSEGV", usage=USAGE),
        ),
        (
            Exit(code=None, signal=9, timed_out=True),
            Reply(
                ending="timeout",
                error="timed out after 5 s; the agent and what it had started were killed",
                usage=USAGE,
            ),
        ),
    ],
)
def test_ended_badly(exit: Exit, reply: Reply | None) -> None:
    assert ended_badly(exit, 5.0) == reply
