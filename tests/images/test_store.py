"""The cache of images: whole parts, one builder at a time, and what is taken away."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from proofrig.errors import UsageError
from proofrig.images.store import Built, Part, Store, bytes_below, cache


def image(name: str, digest: str, base: str = "base-1", built_s: float = 1.0) -> Built:
    return Built(name, digest, base, "debian-test", "amd64", built_s, "3.11")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three images on two bases."""
    store = Store(tmp_path)
    for built in (
        image("desk", "abc1", built_s=1.0),
        image("plain", "abd2", built_s=3.0),
        image("desk", "fff3", "base-2", built_s=2.0),
    ):
        add(store, "images", built.digest, {"image.json": msgspec.json.encode(built)})
        if not store.part("bases", built.base).exists():
            add(store, "bases", built.base, {"base.json": b"{}"})
    return store


def add(store: Store, part: Part, digest: str, files: dict[str, bytes]) -> None:
    with store.locked() as building:
        folder = building / "part"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        store.keep(folder, part, digest)


def parts(store: Store) -> list[str]:
    found = (path.relative_to(store.folder) for path in store.folder.glob("*/*"))
    return sorted(map(str, found))


def test_images_are_listed_newest_first(store: Store) -> None:
    assert [built.digest for built in store.images()] == ["abd2", "fff3", "abc1"]


def test_what_another_version_wrote_is_not_there(store: Store) -> None:
    (store.part("images", "abc1") / "image.json").write_text('{"name": 3}')
    assert store.image("abc1") is None and len(store.images()) == 2


@pytest.mark.parametrize(
    ("name", "digest"), [("plain", "abd2"), ("abd", "abd2"), ("f", "fff3"), ("abc1", "abc1")]
)
def test_an_image_has_a_name_and_a_beginning(store: Store, name: str, digest: str) -> None:
    assert store.named(name).digest == digest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("desk", r"several images 'desk'; there are: fff3 \(desk\), abc1 \(desk\)"),
        ("ab", r"several images 'ab'; there are: abd2 \(plain\), abc1 \(desk\)"),
        ("x", r"no image 'x'; there are: abd2 \(plain\), fff3 \(desk\), abc1 \(desk\)"),
    ],
)
def test_what_names_not_one_image_is_refused(store: Store, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        store.named(name)


def test_a_base_goes_with_the_last_image_that_has_it(store: Store) -> None:
    store.remove(store.named("abc1"))
    assert parts(store) == ["bases/base-1", "bases/base-2", "images/abd2", "images/fff3"]
    store.remove(store.named("abd2"))
    assert parts(store) == ["bases/base-2", "images/fff3"]
    store.clear()
    assert parts(store) == []


def test_a_part_is_put_in_place_of_an_older_one(store: Store) -> None:
    built = msgspec.json.encode(image("new", "abc1"))
    add(store, "images", "abc1", {"image.json": built})
    assert store.named("new").digest == "abc1" and len(store.images()) == 3


def test_what_a_dead_builder_left_is_cleared_away(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from proofrig.images.store import Store\n"
        "with Store(Path(sys.argv[1])).locked() as building:\n"
        "    (building / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path])
    assert ended.returncode == -9 and (tmp_path / "building/half").exists()
    with Store(tmp_path).locked() as building:
        assert list(building.iterdir()) == []


def test_one_builds_at_a_time(tmp_path: Path) -> None:
    def take() -> None:
        with open(tmp_path / "lock") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    with Store(tmp_path).locked() as building, pytest.raises(BlockingIOError):
        take()
    assert not building.exists()
    take()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"PROOFRIG_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"PROOFRIG_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/proofrig"),
        ({"PROOFRIG_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/proofrig"),
    ],
    ids=["own", "standard", "home"],
)
def test_where_the_cache_is(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache() == Path(folder)


def test_bytes_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    before = bytes_below(tmp_path)
    (tmp_path / "a/file").write_bytes(b"x" * 100_000)
    assert before + 100_000 <= bytes_below(tmp_path) <= before + 200_000
