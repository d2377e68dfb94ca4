"""Packages from a repository on disk, by the machine's own apt."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_parts import deb, needs_debian, sources
from proofrig.images.debian import ESSENTIAL, Deb, Debian
from proofrig.images.recipe import Platform
from proofrig.sandboxes.sandbox import Unavailable

pytestmark = needs_debian

HERE = Platform("debian-test", "amd64")


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    """A repository of four packages, and nothing else."""
    repository = tmp_path / "repository"
    repository.mkdir()
    deb(repository, "base", {"etc/base": ("", 0o644)}, Essential="yes")
    deb(repository, "app", {"etc/app": ("", 0o644)}, Depends="lib", Recommends="extra")
    deb(repository, "lib", {"etc/lib": ("", 0o644)}, Version="2:1.5~rc1-1")
    deb(repository, "extra", {"etc/extra": ("", 0o644)})
    monkeypatch.setenv("APT_CONFIG", str(sources(tmp_path, repository)))
    debian = Debian(tmp_path / "apt", HERE)
    debian.update()
    return debian


def test_what_is_needed_is_found_and_nothing_else(debian: Debian) -> None:
    found = debian.resolve([ESSENTIAL, "app"])
    assert sorted(found) == [
        Deb("app", "1:1.0", "all"),
        Deb("base", "1:1.0", "all"),
        Deb("lib", "2:1.5~rc1-1", "all"),
    ]


def test_files_come_in_the_order_asked_for_and_again(debian: Debian) -> None:
    packages = debian.resolve(["app"])[::-1]
    files = debian.fetch(packages)
    assert [file.name for file in files] == ["app_1%3a1.0_all.deb", "lib_2%3a1.5~rc1-1_all.deb"]
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-10])
    assert debian.fetch(packages) == files
    assert files[0].read_bytes() == whole


def test_a_package_that_nobody_has_is_named(debian: Debian) -> None:
    with pytest.raises(Unavailable, match=r"(?s)expected to find nix .*package nix"):
        debian.resolve(["nix"])
