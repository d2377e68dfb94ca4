"""Finds and signals processes of others, by the numbers that the host has for them, and by pidfd.
Signal 0 harms nobody: it only tells whether another one would arrive. argv[1]: {"pids": [...],
"secret": [...]}: a word of their command lines, in two parts, last first."""

import json
import os
import sys

told = json.loads(sys.argv[1])
name, found = "".join(reversed(told["secret"])).encode(), []


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


for pid in filter(str.isdigit, os.listdir("/proc")):
    if name in command(pid):
        found.append(f"saw {pid}")
for pid in told["pids"]:
    if pid == os.getpid() or name not in command(pid):
        continue  # in a box the number is another's, or nobody's
    try:
        os.kill(pid, 0)
        found.append(f"kill {pid}")
    except OSError:
        pass
print(json.dumps({"got_out": bool(found), "detail": found}))
