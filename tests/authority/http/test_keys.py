"""API keys: whose they are, what they touch, and that nobody gets to read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.authority.http.keys import Caller, load_keys
from proofrig.errors import SuiteError, UsageError

KEY = "secret-key-0123456789"


def test_each_key_has_its_caller(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(
        'first-key-0123456789: acme\n"second-key-012345678": "*"\n'
        'third-key-0123456789: {tenant: other, scopes: ["@writes"]}\n1234567890123456: n\n'
    )
    keys = load_keys(file)
    assert len(keys) == 4
    assert keys.caller("first-key-0123456789") == Caller("acme")
    assert keys.caller("second-key-012345678") == Caller("*")
    assert keys.caller("third-key-0123456789") == Caller("other", frozenset({"@writes"}))
    assert keys.caller("1234567890123456") == Caller("n")
    for wrong in ("", "first-key-012345678", "first-key-01234567890", "\udcff"):
        assert keys.caller(wrong) is None


def test_json_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text('{"first-key-0123456789": "acme"}')
    assert load_keys(tmp_path / "k.json").caller("first-key-0123456789") == Caller("acme")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{KEY}: a/b", "expected a tenant"),
        (f"{KEY}: 5", "expected a tenant"),
        (f"{KEY}: '@acme'", "expected a tenant"),
        (f"{KEY}: {{tenant: acme, scopes: [writes]}}", "begin with @"),
        (f"{KEY}: {{tenant: acme, scope: []}}", "expected tenant and scopes, got scope"),
        ("secret-key: acme", "16 or more"),
        (f"{KEY}: acme\n{KEY}: other", "once"),
        (f"{KEY}: [acme", "cannot be read"),
        (f"- {KEY}", "expected a mapping"),
        ("", "expected a mapping"),
    ],
)
def test_a_bad_file_names_its_place_and_no_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "k.yaml").write_text(text)
    with pytest.raises(SuiteError, match=said) as raised:
        load_keys(tmp_path / "k.yaml")
    assert "k.yaml:" in str(raised.value)
    assert "secret-key" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a readable file"):
        load_keys(tmp_path / "none")


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("acme", True),
        ("acme/x/y", True),
        ("acmex", False),
        ("other/acme", False),
        ("@writes", True),
        ("@writes/x", True),
        ("@writesx", False),
        ("@suite", False),
    ],
)
def test_what_a_caller_touches(scope: str, may: bool) -> None:
    assert Caller("acme", frozenset({"@writes"})).may_touch(scope) == may
    assert Caller().may_touch(scope)


def test_ids_are_the_tenants_own() -> None:
    acme = Caller("acme")
    assert acme.inside("x/y") == "acme/x/y"
    assert acme.outside("acme/x/y") == "x/y"
    assert acme.owns("acme/x") and not acme.owns("acmex/x") and not acme.owns("x")
    assert Caller().inside("acme/x") == Caller().outside("acme/x") == "acme/x"
