"""The command lines of podman and docker, as values. Podman's boxes are in test_contained."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes.engine import Docker, Podman, joined, said, tag
from proofrig.sandboxes.sandbox import BoxSettings, Image, Limits, Shown, Unavailable
from proofrig.sandboxes.scene import Layout, Scene

ALWAYS = {
    "--name=box",
    "--network=none",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--user=65433:65433",
}
NONE = Limits()
IMAGE = Image("debian", digest="sha256:abc", root="/image")


def layout(world: str = "/w", hidden: tuple[str, ...] = (), limits: Limits = NONE) -> Layout:
    shown = (Shown("/a,b"), Shown("/open", writable=True))
    settings = BoxSettings(
        trial="t", marker="m", world=world, shown=shown, hidden=hidden, limits=limits
    )
    return Layout("box", "/box", IMAGE, settings, ["/python", "inside.py"], 65433, True)


def mounts(scene: Scene) -> dict[str, set[str]]:
    """The words of each mount, by its target."""
    found = {}
    for word in scene.argv:
        if word.startswith("--mount="):
            (words,) = csv.reader([word.removeprefix("--mount=")])
            target = next(each for each in words if each.startswith("target="))
            found[target.removeprefix("target=")] = set(words) - {target}
    return found


@pytest.mark.parametrize("engine", [Podman(), Docker()], ids=["podman", "docker"])
def test_a_box_has_no_network_no_capabilities_and_its_own_user(engine: Podman | Docker) -> None:
    scene = engine.scene(layout())
    assert set(scene.argv) >= ALWAYS
    assert scene.argv[-2:] == ["/python", "inside.py"]
    assert not {"--privileged", "--network=host", "--pid=host"} & set(scene.argv)


def test_docker_holds_no_limit_on_disk() -> None:
    assert Docker().scene(layout(limits=Limits(memory_bytes=1 << 20)))
    with pytest.raises(Unavailable, match="disk_mb"):
        Docker().scene(layout(limits=Limits(disk_bytes=1 << 20)))


def test_podman_keeps_everything_in_the_stage() -> None:
    scene = Podman().scene(layout())
    assert {"--root=/run/podman", "--runroot=/run/podman-run"} <= set(scene.argv)
    assert scene.argv[-4:-2] == ["--rootfs", "/run/root"]
    assert "--cgroups=disabled" in scene.argv
    assert not scene.bare


def test_docker_is_told_the_limits_the_files_and_how_to_end_it() -> None:
    limits = Limits(memory_bytes=1 << 28, cpus=0.5, processes=64)
    scene = Docker().scene(layout(limits=limits, hidden=("/a,b/secret",)))
    asked = {"--memory=268435456", "--memory-swap=268435456", "--cpus=0.5", "--pids-limit=64"}
    assert asked <= set(scene.argv)
    assert scene.argv[-3] == "proofrig:sha256-abc"
    assert (scene.bare, scene.stop) == (True, ["docker", "rm", "--force", "box"])
    found = mounts(scene)
    assert found["/a,b"] == {"type=bind", "source=/a,b", "readonly"}
    assert found["/open"] == {"type=bind", "source=/open"}
    assert found["/run/proofrig"] == {"type=bind", "source=/box/control", "readonly"}
    assert found["/a,b/secret"] == {"type=bind", "source=/dev/null", "readonly"}
    options = (
        "volume-opt=o=lowerdir=/w,upperdir=/box/volume/world/upper,"
        "workdir=/box/volume/world/work,redirect_dir=nofollow,metacopy=off"
    )
    assert {"type=volume", "volume-opt=type=overlay", options} <= found["/w"]


@pytest.mark.parametrize("world", ["/a,b", "/a:b", "/a\\b"])
def test_docker_refuses_a_world_that_it_cannot_mount(world: str) -> None:
    with pytest.raises(SandboxError, match="docker cannot mount an overlay over"):
        Docker().scene(layout(world=world))


def test_docker_gets_the_environment_that_finds_its_daemon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///there")
    monkeypatch.setenv("OPENAI_API_KEY", "real")
    env = Docker().scene(layout()).env
    assert env["DOCKER_HOST"] == "unix:///there"
    assert "OPENAI_API_KEY" not in env
    assert "OPENAI_API_KEY" not in Podman().scene(layout()).env


@pytest.mark.parametrize("engine", [Podman(), Docker()], ids=["podman", "docker"])
def test_commands_never_run_as_the_hosts_root(engine: Podman | Docker) -> None:
    assert engine.uid() == (65433 if os.geteuid() == 0 else engine.uid())


@pytest.mark.parametrize("words", [["a=b", "c"], ['a="b"', "c,d"], ["e\nf"]], ids=str)
def test_mounts_are_read_as_they_were_meant(words: list[str]) -> None:
    assert next(csv.reader([*joined(words).splitlines(keepends=True)])) == words


@pytest.mark.parametrize(
    ("image", "expected"),
    [(IMAGE, "proofrig:sha256-abc"), (Image("my image"), "proofrig:my-image")],
    ids=["digest", "name"],
)
def test_a_tag_is_one(image: Image, expected: str) -> None:
    assert tag(image) == expected


async def test_what_a_command_says(tmp_path: Path) -> None:
    assert await said(["sh", "-c", "echo out; echo err >&2"]) == "out\n"
    assert await said(["sh", "-c", "echo err >&2"]) == "err\n"
    with pytest.raises(SandboxError, match="why"):
        await said(["sh", "-c", "echo why >&2; exit 1"])
    with pytest.raises(SandboxError, match="No such file"):
        await said([str(tmp_path / "nothing")])
