"""Makes device nodes of the host's memory, disks and terminals, and opens them."""

import json
import os
import stat

NODES = {"mem": (1, 1), "kmsg": (1, 11), "sda": (8, 0), "vda": (254, 0), "loop": (7, 0)}
found = []
for name, number in NODES.items():
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        path = f"/tmp/node-{name}-{kind}"
        try:
            os.mknod(path, 0o600 | kind, os.makedev(*number))
            os.close(os.open(path, os.O_RDONLY))
            found.append(path)
        except OSError:
            pass
print(json.dumps({"got_out": bool(found), "detail": found}))
