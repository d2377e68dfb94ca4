"""Faults as a suite writes them: packs unfolded, narrowed, and numbered."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proofrig.faults.packs import PACKS, pack
from proofrig.faults.written import Faults, packs_of, unfolded

_faults: TypeAdapter[Any] = TypeAdapter(Faults)


def read(*written: Any) -> list[Any]:
    return list(unfolded(_faults.validate_python(written)))


def test_a_pack_stands_for_the_faults_in_it() -> None:
    assert [fault.kind for fault in read("flaky-network")] == [
        one["kind"] for one in pack("flaky-network")
    ]
    assert {fault.pack for fault in read("flaky-network")} == {"flaky-network"}
    assert read("flaky-network") == read({"pack": "flaky-network"})


def test_what_stands_beside_a_pack_holds_for_all_of_its_faults() -> None:
    beside = {"on": {"tenant": "acme"}, "when": {"after_s": 2}, "times": 3, "probability": 0.5}
    for narrowed, plain in zip(
        read({"pack": "flaky-network", **beside}), read("flaky-network"), strict=True
    ):
        assert narrowed.on == plain.on.model_copy(update={"tenant": "acme"})
        assert (narrowed.when.after_s, narrowed.times) == (2, 3)
        assert narrowed.probability == pytest.approx(plain.probability / 2)


def test_packs_and_single_faults_keep_their_order() -> None:
    kinds = [fault.kind for fault in read({"kind": "latency", "ms": 5}, "flaky-network")]
    assert kinds == ["latency", *(one["kind"] for one in pack("flaky-network"))]


def test_the_faults_of_a_case_are_aimed_at_it() -> None:
    written = _faults.validate_python(["flaky-network", {"kind": "latency"}])
    assert {fault.on.case for fault in unfolded(written, "refund")} == {"refund"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("flaky", "flaky-network"),
        ({"pack": "flaky-network", "ms": 3}, "ms"),
        ({"pack": "flaky-network", "probability": 2}, "less than or equal to 1"),
        ({"kind": "latncy"}, "latency"),
        ({"kind": "latency", "msx": 3}, "msx"),
        ({"kind": "latency", "on": {"nth": 0}}, "greater than or equal to 1"),
        ({"kind": "latency", "when": {"every_s": 3}}, "`for_s` beside `every_s`"),
        (3, "dictionary"),
    ],
)
def test_what_is_wrong_is_said(written: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        read(written)


def test_packs_are_named() -> None:
    assert [one.pack for one in packs_of(PACKS)] == list(PACKS)
    with pytest.raises(ValueError, match="flaky-network"):
        packs_of(["flaky"])


def test_a_pack_is_narrowed_and_never_widened() -> None:
    everything = {fault.title: fault.acts_at for fault in read("auth-expiry")}
    at_tools = {
        fault.title: fault.acts_at for fault in read({"pack": "auth-expiry", "on": {"at": "tool"}})
    }
    assert at_tools == {"login_page": ("tool",)} and "tool" in everything["login_page"]
    of_one = read({"pack": "flaky-network", "on": {"tool": "search"}})
    assert {fault.acts_at for fault in of_one} == {("tool",)}


def test_a_pack_that_nothing_is_left_of_is_refused() -> None:
    with pytest.raises(ValidationError, match="no fault of provider-bad-day can strike"):
        read({"pack": "provider-bad-day", "on": {"tool": "search"}})
