from __future__ import annotations

import json

from proofrig.sandboxes.bundle import config


def test_the_process_may_nothing_but_run() -> None:
    told = json.loads(config(["/bin/sh", "-c", "id"], 1234, "/run/root", 64))
    process = told["process"]
    assert (process["args"], process["user"]) == (
        ["/bin/sh", "-c", "id"],
        {"uid": 1234, "gid": 1234},
    )
    assert process["noNewPrivileges"] is True
    assert not any(process["capabilities"].values())
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "hard": 64, "soft": 64}]
    assert told["root"] == {"path": "/run/root", "readonly": False}
    assert {"type": "network"} in told["linux"]["namespaces"]


def test_temporary_files_are_files_of_the_box() -> None:
    mounts = json.loads(config(["id"], 0, "/run/root", 64))["mounts"]
    (temporary,) = [mount for mount in mounts if mount["destination"] == "/tmp"]
    assert (temporary["type"], temporary["source"]) == ("bind", "/run/root/tmp")
