"""What gateways share: the live trials and the run's clock."""

from __future__ import annotations

import time

from proofrig.gateways.gateway import CHILDREN, Binding, Bindings, RunClock

ONE = Binding("one", "case:1", "acme", "acme/one")


def bindings() -> Bindings:
    made = Bindings()
    made.add(Binding("one", "case:1", "acme", "acme/one"))
    made.add(Binding("two", "case:2", "acme", "acme/two"))
    return made


def test_a_trial_is_live_then_ended_and_never_both() -> None:
    made = bindings()
    assert (made.live("one"), made.ended("one"), len(made)) == (ONE, None, 2)
    assert made.end("one") == ONE
    assert (made.live("one"), made.ended("one"), len(made)) == (None, ONE, 1)
    assert (made.live("nobody"), made.ended("nobody"), made.end("nobody")) == (None, None, None)


def test_the_end_of_a_trial_is_told_once() -> None:
    made, heard = bindings(), list[str]()
    made.on_end.append(lambda binding: heard.append(binding.trial))
    made.end("one")
    made.end("one")
    assert heard == ["case:1"]


def test_ended_trials_are_remembered_in_a_bounded_number() -> None:
    made = Bindings()
    for number in range(10_001):
        made.add(Binding(f"t{number}", f"case:{number}", "acme", "acme"))
        made.end(f"t{number}")
    assert made.ended("t0") is None
    assert made.ended("t1") is not None and made.ended("t10000") is not None


def test_the_clock_counts_from_its_origin() -> None:
    now = time.monotonic_ns()
    first, second = RunClock(now)(), RunClock(now - 1_000_000_000)()
    assert first >= 0 and second >= 1_000_000_000


def test_each_trial_has_a_state_of_its_own_that_is_not_kept_after_its_end() -> None:
    made, left = bindings(), list[dict[str, object]]()
    made.on_end.append(lambda binding: left.append(binding.state))
    for token in ("one", "two"):
        made.live(token).state["token"] = token
    assert (made.live("one").state, made.live("two").state) == ({"token": "one"}, {"token": "two"})
    made.end("one")
    assert left == [{"token": "one"}]
    assert made.ended("one").state == {}


def test_a_run_names_so_many_child_scopes_and_no_more() -> None:
    made = bindings()
    for number in range(CHILDREN):
        assert made.in_child(ONE, f"c{number}").scope == f"acme/one/c{number}"
    assert made.in_child(ONE, "one-more") == ONE
    assert made.in_child(ONE, "c7").scope == "acme/one/c7"
    made.end("one")
    assert made._children == {}


def test_a_renewed_key_is_its_trials_and_only_the_freshest_has_not_expired() -> None:
    made = bindings()
    assert not made.expired("one", "one")
    first = made.renew("one")
    second = made.renew("one")
    assert made.live(first) == made.live(second) == ONE
    assert [made.expired("one", key) for key in ("one", first, second)] == [True, True, False]
    assert not made.expired("two", "two")
    made.end("one")
    assert made.live(second) is None and made.ended(second) == ONE


def test_renewed_keys_go_when_their_trial_is_forgotten() -> None:
    made = Bindings()
    made.add(Binding("t", "case", "acme", "acme"))
    key = made.renew("t")
    made.end("t")
    for number in range(10_000):
        made.add(Binding(f"t{number}", f"case:{number}", "acme", "acme"))
        made.end(f"t{number}")
    assert made.ended(key) is None
