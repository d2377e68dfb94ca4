"""Leaves, in a folder that the host sees at once, programs and nodes that would give whoever finds
them there the rights of the host's root. argv[1]: {"folder": path}. Whether they do is looked at
from outside."""

import contextlib
import json
import os
import stat
import sys

folder = json.loads(sys.argv[1])["folder"]
CAPABILITIES = bytes.fromhex(
    "01000002ffffffff00000000ffffffff00000000"
)  # version 2, effective, all
for name, owner in (("mine", None), ("given", 0)):
    path = f"{folder}/{name}"
    with open(path, "w") as file:
        file.write("#!/bin/sh\nid\n")
    with contextlib.suppress(OSError):
        if owner is not None:
            os.chown(path, owner, owner)
    for mode in (0o2755, 0o4755, 0o6755):
        with contextlib.suppress(OSError):
            os.chmod(path, mode)
    with contextlib.suppress(OSError):
        os.setxattr(path, "security.capability", CAPABILITIES)
for kind in (stat.S_IFCHR, stat.S_IFBLK):
    with contextlib.suppress(OSError):
        os.mknod(f"{folder}/node-{kind}", 0o666 | kind, os.makedev(1, 1))
print(json.dumps({"got_out": False, "detail": sorted(os.listdir(folder))}))
