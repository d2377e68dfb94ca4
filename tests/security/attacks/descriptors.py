"""Uses what was left open for it: any descriptor beyond the three (and the reply pipe) that leads
to a folder, a file outside, a socket or a namespace."""

import json
import os
import stat

reply, found = os.environ.get("PROOFRIG_REPLY_FD", ""), []
for name in os.listdir("/proc/self/fd"):
    if int(name) < 3 or name == reply:
        continue
    try:
        mode, target = os.fstat(int(name)).st_mode, os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        continue  # what listed the folder
    if stat.S_ISDIR(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode) or "ns:" in target:
        found.append(f"{name} {target}")
print(json.dumps({"got_out": bool(found), "detail": found}))
