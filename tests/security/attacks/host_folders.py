"""Puts a file into every folder that hosts have, by name and through what /proc shows of others.
argv[1]: {"name": ..., "folders": [...]}. Whether one came to the host is looked at there."""

import json
import os
import sys

told, written = json.loads(sys.argv[1]), []
roots = ["", "/proc/1/root", f"/proc/{os.getppid()}/root", "/proc/self/cwd/../../../../../.."]
for folder in (f"{root}{folder}" for root in roots for folder in told["folders"]):
    try:
        with open(f"{folder}/{told['name']}", "w") as file:
            file.write("#")
        written.append(folder)
    except OSError:
        pass
print(json.dumps({"got_out": False, "detail": written}))
