"""The command line of runsc. What its boxes do is in test_contained."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.sandboxes.gvisor import GvisorSandbox, Runsc, flags
from proofrig.sandboxes.sandbox import BoxSettings, Image, Limits, Unavailable
from proofrig.sandboxes.scene import Layout, Mount

OLDEST = "  -fsgofer-host-uds\n  -platform ptrace, kvm\n"
NEWEST = "  -host-uds value\n  -overlay2 value\n  -platform value\n  systrap (default), ptrace\n"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (
            "  -fsgofer-host-uds\n  -platform ptrace, kvm\n",
            ["--platform=ptrace", "--fsgofer-host-uds"],
        ),
        (NEWEST, ["--platform=systrap", "--host-uds=open", "--overlay2=none"]),
    ],
    ids=["old", "new"],
)
def test_flags_are_those_that_this_runsc_knows(known: str, expected: list[str]) -> None:
    assert flags(known) == ["--network=none", "--ignore-cgroups", *expected]


@pytest.mark.parametrize("as_root", [True, False], ids=["root", "user"])
def test_a_scene(as_root: bool, tmp_path: Path) -> None:
    settings = BoxSettings(trial="t", marker="m", limits=Limits(open_files=40))
    layout = Layout("box", str(tmp_path), Image(), settings, ["/bin/id"], 0, as_root)
    scene = Runsc().scene(layout)
    assert (scene.argv[0], scene.argv[-3:]) == ("runsc", ["run", "--bundle=/run/bundle", "box"])
    assert ("--rootless" in scene.argv) is not as_root
    assert '"hard": 40' in scene.files["/run/bundle/config.json"]


def test_only_programs_that_the_image_has_are_stood_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("usr/bin/ls", "busybox"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = Runsc()
    engine.mend(Image(root=str(tmp_path)))
    assert engine.mended == [Mount(f"{tmp_path}/busybox", "/usr/bin/ls", mapped=False)]


async def test_without_runsc_there_is_a_reason_and_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    image = Image("x", root=str(tmp_path), interpreter="/usr/bin/python3")
    with pytest.raises(Unavailable, match="apt-get install runsc"):
        await GvisorSandbox().prepare(image)
