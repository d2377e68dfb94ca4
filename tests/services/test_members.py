"""The services of a suite, told apart by `type`."""

from __future__ import annotations

from typing import Any

import pytest

import proofrig.services
from service_rig import ADAPTER, Clock, make

SETTINGS: list[dict[str, Any]] = [
    {"type": "kv", "name": "one"},
    {"type": "lock", "name": "one"},
    {"type": "semantic_cache", "name": "one"},
    {"type": "queue", "name": "one"},
    {"type": "quota", "name": "one", "capacity": 3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: one["type"])
def test_every_kind_is_made_by_its_type(settings: dict[str, Any]) -> None:
    service = make(settings, Clock())
    assert service.name == "one"
    for name, operation in service.operations.items():
        assert callable(getattr(service, name))
        assert operation.takes.__doc__, "a model is told what it does"
    assert ADAPTER.validate_python(settings).topology()["type"] == settings["type"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"type": "db", "name": "x"}, "expected tags"),
        ({"type": "kv", "name": "x/y"}, "pattern"),
        ({"type": "kv", "name": "x", "ttl": 3}, "Extra inputs"),
        ({"type": "lock", "name": "x", "max_entries": 3}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ADAPTER.validate_python(settings)


def test_the_family_offers_what_it_lists() -> None:
    for name in proofrig.services.__all__:
        assert getattr(proofrig.services, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Servise'"):
        proofrig.services.Servise  # noqa: B018
