"""Which request is a retry of which."""

from __future__ import annotations

import pytest

from proofrig.gateways.retries import (
    FIRST,
    Attempt,
    Failed,
    Retries,
    canonical_digest,
    count_said,
)

BODY = b'{"model":"m","messages":[1],"temperature":0}'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (BODY, True),
        (b'{"temperature": 0, "messages": [1], "model": "m"}', True),
        (b'{"model":"m","messages":[1],"temperature":0,"stream":true}', True),
        (b'{"model":"m","messages":[1],"temperature":0,"prompt_cache_key":"x"}', True),
        (b'{"model":"m","messages":[1,2],"temperature":0}', False),
        (b'{"model":"n","messages":[1],"temperature":0}', False),
        (b'{"model":"m","messages":[1],"temperature":0', False),
        (b"[1]", False),
    ],
)
def test_the_canonical_digest(other: bytes, same: bool) -> None:
    assert (canonical_digest(other) == canonical_digest(BODY)) is same


def test_the_same_request_after_a_failure_is_the_next_attempt() -> None:
    retries = Retries()
    assert retries.attempt("t", BODY, None, 0) == FIRST
    retries.note("t", BODY, Failed("a1", 1, ended_ns=100))
    assert retries.attempt("t", BODY, "0", 350) == Attempt(2, "a1", 250)
    assert retries.attempt("u", BODY, None, 350) == FIRST
    assert retries.attempt("t", b"{}", None, 350) == FIRST
    retries.note("t", BODY, Failed("a2", 2, ended_ns=400))
    assert retries.attempt("t", BODY, "1", 500) == Attempt(3, "a2", 100)


def test_after_a_success_the_same_request_is_no_retry() -> None:
    retries = Retries()
    retries.note("t", BODY, Failed("a1", 1, 0))
    retries.forget("t", BODY)
    assert retries.attempt("t", BODY, None, 1) == FIRST


@pytest.mark.parametrize(
    ("said", "number"), [(None, 1), ("0", 1), ("2", 3), ("x", 1), ("-1", 1), ("", 1)]
)
def test_the_clients_own_count_is_a_lower_bound(said: str | None, number: int) -> None:
    assert Retries().attempt("t", BODY, said, 0) == Attempt(number)
    known = Retries()
    known.note("t", BODY, Failed("a9", 9, 0))
    assert known.attempt("t", BODY, said, 0).number == 10


def test_memory_is_bounded_and_freed() -> None:
    retries = Retries(kept_per_trial=2)
    bodies = [b'{"n":%d}' % n for n in range(3)]
    for number, body in enumerate(bodies):
        retries.note("t", body, Failed(f"a{number}", 1, 0))
    assert [retries.attempt("t", body, None, 0).retry_of for body in bodies] == ["", "a1", "a2"]
    retries.end("t")
    assert retries.attempt("t", bodies[2], None, 0) == FIRST


@pytest.mark.parametrize("said", ["\xb2", "9" * 5000, "-1", "1.5", ""])
def test_a_count_that_is_none_counts_nothing(said: str) -> None:
    assert Retries().attempt("t", BODY, said, 0).number == 1


def test_each_of_two_equal_failures_has_its_own_retry() -> None:
    retries = Retries()
    retries.note("t", BODY, Failed("a1", 1, 0))
    retries.note("t", BODY, Failed("b1", 1, 0))
    found = [retries.attempt("t", BODY, said, 0) for said in ("1", "1", None)]
    assert found == [Attempt(2, "a1"), Attempt(2, "b1"), FIRST]


def test_a_count_finds_the_failure_that_it_continues() -> None:
    retries = Retries()
    retries.note("t", BODY, Failed("a2", 2, 0))
    retries.note("t", BODY, Failed("b1", 1, 0))
    assert [retries.attempt("t", BODY, said, 0) for said in ("1", "2")] == [
        Attempt(2, "b1"),
        Attempt(3, "a2"),
    ]


@pytest.mark.parametrize(
    ("said", "kept"), [("0", 0), ("2", 2), ("x", None), ("", None), (None, None)]
)
def test_the_clients_count_is_kept_as_a_number(said: str | None, kept: int | None) -> None:
    assert count_said(said) == ({} if kept is None else {"said": kept})
