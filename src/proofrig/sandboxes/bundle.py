"""An OCI bundle's `config.json`: one process, without a capability, in a folder of files."""

from __future__ import annotations

import json

CONFIG = "config.json"


def config(argv: list[str], uid: int, root: str, open_files: int) -> str:
    """The text of the file. root: the folder, writable. open_files: the most a process may have."""
    nothing: dict[str, list[str]] = {
        kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    return json.dumps(
        {
            "ociVersion": "1.0.2",
            "hostname": "box",
            "root": {"path": root, "readonly": False},
            "process": {
                "user": {"uid": uid, "gid": uid},
                "args": argv,
                "cwd": "/",
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "noNewPrivileges": True,
                "capabilities": nothing,
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": open_files, "soft": open_files}],
            },
            "mounts": [
                # runsc puts a file system in memory at an empty /tmp, unless it is mounted
                {
                    "destination": "/tmp",
                    "type": "bind",
                    "source": f"{root}/tmp",
                    "options": ["rbind", "rw"],
                },
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
            },
        }
    )
