"""Cases: how they ask, what they refuse, what their digest covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proofrig.suites.case import Case, World

VERIFY = [{"type": "exact", "value": "4"}]


def case(**more: Any) -> Case:
    return Case.model_validate({"id": "a", "task": "2+2?", "verify": VERIFY, **more})


def test_a_case_asks_by_task_or_by_messages() -> None:
    assert case().messages_or_task() == "2+2?"
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
    talk = case(task=None, messages=said)
    assert talk.messages_or_task() == said
    assert (case().prompt(), talk.prompt()) == ("2+2?", "hi")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"task": None}, "got neither"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "got both"),
        ({"messages": [{"role": "robot", "content": "hi"}], "task": None}, "role"),
        ({"id": "a b"}, "id"),
        ({"id": "../a"}, "id"),
        ({"id": "a//b"}, "id"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"null_passes": "yes"}, "null_passes"),
        ({"verify": [{"type": "nothing"}]}, "verify"),
    ],
)
def test_what_is_no_case_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        case(**more)


@pytest.mark.parametrize("id", ["a", "9", "easy/refund.v2", "A-b_c"])
def test_ids_may_have_folders_and_versions(id: str) -> None:
    assert case(id=id).id == id


@pytest.mark.parametrize(
    "world",
    [
        {"files": {"/etc/passwd": ""}},
        {"files": {"a/../../b": ""}},
        {"databases": {"../shop.db": "select 1"}},
        {"files_from": ".."},
        {"files_from": "."},
        {"files": {"a": ""}, "databases": {"a": "select 1"}},
        {"files": {"a": "", "a/b": ""}},
        {"databases": {"a.db": []}},
        {"file": {}},
        {"state": []},
        {"state": {"a": float("nan")}},
        {"state": {"a": (1, 2)}},
        {"state": {"a": {1: 2}}},
        {"state": {"a": object()}},
        {"state": {"a": "\udcff"}},
    ],
)
def test_a_world_stays_inside_and_has_one_meaning(world: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        World.model_validate(world)


def test_one_text_of_sql_is_a_list_of_one() -> None:
    assert World.model_validate({"databases": {"a.db": "select 1"}}).databases == {
        "a.db": ("select 1",)
    }


def test_the_digest_covers_the_files_a_case_names(tmp_path: Path) -> None:
    named = case(world={"databases": {"a.db": "schema.sql"}, "files_from": "seed"}).at(tmp_path)
    digests = [named.digest()]
    (tmp_path / "schema.sql").write_text("create table t (a)")
    digests.append(named.digest())
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "x").write_text("1")
    digests.append(named.digest())
    assert len(set(digests)) == 3
    assert named.digest() == digests[-1]
    assert named.at(tmp_path / "elsewhere").digest() == digests[0]


def test_a_world_of_nothing_but_state_has_no_folder() -> None:
    worlds = ({}, {"state": {}}, {"state": {"a": [1, None, {"b": 0.5}]}}, {"files": {"a": ""}})
    made = [World.model_validate(world) for world in worlds]
    assert [world.has_folder for world in made] == [True, False, False, True]
    assert [world.state for world in made] == [None, {}, {"a": [1, None, {"b": 0.5}]}, None]
    assert World.model_validate({"state": {}, "files": {"a": ""}}).has_folder


def test_the_digest_covers_the_state() -> None:
    worlds = ({}, {"state": {}}, {"state": {"n": 1}}, {"state": {"n": 2}})
    assert len({case(world=world).digest() for world in worlds}) == 4


def test_where_a_case_was_written_goes_along_and_counts_for_nothing(tmp_path: Path) -> None:
    plain, file = case(), tmp_path / "cases.yaml"
    found = plain.written(file, 7)
    assert plain.written_at is None
    assert found.at(tmp_path).model_copy(update={"tags": ("x",)}).written_at == (file, 7)
    assert found == plain == case().written(tmp_path / "other.yaml", 1)
    assert found.digest() == plain.digest()
