from __future__ import annotations

import json

from proofrig.sandboxes.sandbox import BoxSettings, Image, Shown
from proofrig.sandboxes.scene import Layout, Mount, Scene, for_stage, mounts

SETTINGS = BoxSettings(
    trial="t",
    marker="m",
    world="/a/b/world",
    shown=(Shown("/a/b/world/inner"), Shown("/a", writable=True)),
    hidden=("/a/secret",),
)


def test_outer_folders_are_mounted_before_inner_ones() -> None:
    assert [mount.at for mount in mounts(SETTINGS)] == [
        "/a",
        "/run/proofrig",
        "/etc/passwd",
        "/etc/group",
        "/a/b/world",
        "/a/b/world/inner",
    ]


def test_only_the_world_is_written_to_a_layer() -> None:
    found = {mount.at: (mount.writable, mount.overlay) for mount in mounts(SETTINGS)}
    assert found["/a"] == (True, False)
    assert found["/a/b/world"] == (True, True)
    assert found["/a/b/world/inner"] == (False, False)
    assert found["/run/proofrig"] == (False, False)


def test_the_stage_is_told_all_of_it() -> None:
    layout = Layout("box", "/box", Image(root="/image"), SETTINGS, ["/python"], 7, True)
    scene = Scene(["engine"], {"A": "b"}, {"/run/x": "y"}, [Mount("/bin/x", "/bin/y")])
    told = json.loads(for_stage(layout, scene, None, "FD"))
    plan = told.pop("plan")
    assert ["control" in bind[0] for bind in plan["binds"]].count(True) == 1
    assert ["/box/control", "/run/proofrig", False, False] in plan["binds"]
    assert ["/bin/x", "/bin/y", False, True] in plan["binds"]
    assert {name: plan[name] for name in ("at", "uid", "lower", "world", "hidden", "room")} == {
        "at": "/box",
        "uid": 7,
        "lower": "/image",
        "world": "/a/b/world",
        "hidden": ["/a/secret"],
        "room": None,
    }
    assert (told["argv"], told["env"], told["files"]) == (["engine"], {"A": "b"}, {"/run/x": "y"})
    assert (told["as_root"], told["reply_fd"], told["bare"]) == (True, "FD", False)
