from __future__ import annotations

import json
import os
import pwd
import socket
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes import parts
from proofrig.sandboxes.engine import Docker, Podman
from proofrig.sandboxes.gvisor import Runsc
from proofrig.sandboxes.sandbox import BoxSettings, Image, Limits
from proofrig.sandboxes.scene import Engine, Layout


def layout(tmp_path: Path, **settings: object) -> Layout:
    image = tmp_path / "image"
    (image / "etc").mkdir(parents=True)
    (image / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh")
    asked = BoxSettings(trial="t", marker="m", **settings)  # type: ignore[arg-type]
    as_root = os.geteuid() == 0
    return Layout("box", str(tmp_path / "box"), Image(root=str(image)), asked, ["x"], 77, as_root)


def test_a_folder_of_a_box_is_the_runners_alone(tmp_path: Path) -> None:
    made = parts.make(Podman(), layout(tmp_path, limits=Limits(open_files=9)))
    box = tmp_path / "box"
    assert box.stat().st_mode & 0o777 == 0o700
    names = {"control", "inside.py", "keeper.py", "seccomp_helper.py", "settings.json"}
    assert set(os.listdir(box / "control")) == names
    told = json.loads((box / "control" / "settings.json").read_text())
    assert (told["ports"], told["open_files"], len(told["filters"])) == ([], 9, 2)
    assert told["watched"]
    lines = (box / "passwd").read_text().splitlines()
    assert [line.split(":")[:3] for line in lines] == [["root", "x", "0"], ["box", "x", "77"]]
    made.leave()
    assert not box.exists()
    made.leave()


@pytest.mark.parametrize(
    ("engine", "sockets"),
    [(Podman(), set()), (Runsc(), {"port-80", "port-81"})],
    ids=["podman", "runsc"],
)
def test_ports_are_sockets_where_none_can_be_planted(
    tmp_path: Path, engine: Engine, sockets: set[str]
) -> None:
    made = parts.make(engine, layout(tmp_path, ports=(80, 81)))
    names = set(os.listdir(tmp_path / "box" / "control"))
    assert {name for name in names if name.startswith("port-")} == sockets
    made.leave()


@pytest.mark.parametrize(("asked", "bytes_"), [(None, None), (8 << 20, 8 << 20)])
def test_the_stage_is_told_how_much_may_be_written(
    tmp_path: Path, asked: int | None, bytes_: int | None
) -> None:
    made = parts.make(Podman(), layout(tmp_path, limits=Limits(disk_bytes=asked)))
    room = json.loads((tmp_path / "box" / "stage.json").read_text())["plan"]["room"]
    assert (room and room["bytes"]) == bytes_
    made.leave()


def test_paths_longer_than_an_address_do(tmp_path: Path) -> None:
    far = tmp_path / ("x" * 100) / ("y" * 100)
    far.mkdir(parents=True)
    listener = parts._listener(far / "control")
    with listener, socket.socket(socket.AF_UNIX) as client:
        here = os.getcwd()
        os.chdir(far)
        try:
            client.connect("control")
        finally:
            os.chdir(here)


def test_a_box_that_cannot_be_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="docker cannot mount"):
        parts.make(Docker(), layout(tmp_path, world="/a,b"))
    assert os.listdir(tmp_path) == ["image"]


@pytest.mark.parametrize(
    ("asked", "whole", "expected"),
    [(None, True, None), (10, False, 10), (10, True, 104)],
    ids=["none", "container", "gvisor"],
)
def test_an_engine_that_counts_has_threads_of_its_own(
    asked: int | None, whole: bool, expected: int | None
) -> None:
    limits = parts.of_group(Limits(processes=asked, memory_bytes=5), whole=whole)
    assert limits == Limits(processes=expected, memory_bytes=5)


def test_the_last_words_are_on_one_line() -> None:
    assert parts.last_words(b"one\n  two\n\xff\n") == "one two \ufffd"
    assert len(parts.last_words(b"x" * 10_000)) == 600


def test_no_account_of_this_machine_is_a_boxs() -> None:
    assert Podman().uid() not in {user.pw_uid for user in pwd.getpwall()} or os.geteuid() != 0
