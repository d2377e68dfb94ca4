"""Words for what is wrong."""

from __future__ import annotations

import pytest

from proofrig.authority.http import messages as m
from proofrig.authority.http.requests import Wrong, checked


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (m.Id, "", "an id"),
        (m.Id, "é", "an id"),
        (m.Scope, "a b", "a path"),
        (m.Name, "refund", "a name <kind>.<what>"),
        (m.Limited, "apples", "a unit"),
    ],
)
def test_what_does_not_fit_is_told_in_words(kind: object, value: str, said: str) -> None:
    with pytest.raises(Wrong, match=said) as raised:
        checked(kind, "it", value)
    assert raised.value.status == 400
    assert "regex" not in str(raised.value)
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (m.Id, "a" * 200),
        (m.Id, "a/b?c#d%41"),
        (m.Scope, "acme//bøt"),
        (m.Scope, "@writes/x"),
        (m.Name, "tool.a.b"),
        (m.Limited, "children"),
        (m.Limited, "calls:tool.x/minute"),
    ],
)
def test_what_fits_is_as_it_was(kind: object, value: str) -> None:
    assert checked(kind, "it", value) == value
