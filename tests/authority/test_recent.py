"""A cache that stays small and keeps what is in use."""

from __future__ import annotations

from proofrig.authority.recent import Recent


def test_endless_keys_do_not_make_it_grow() -> None:
    recent: Recent[int, int] = Recent(10)
    for key in range(1_000):
        recent.put(key, key)
    assert len(recent) <= 20
    assert recent.get(999) == 999
    assert recent.get(0) is None


def test_what_is_in_use_stays() -> None:
    recent: Recent[str, int] = Recent(10)
    recent.put("mine", 1)
    for key in range(1_000):
        recent.put(f"made up {key}", key)
        assert recent.get("mine") == 1
