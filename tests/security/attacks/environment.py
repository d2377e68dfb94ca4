"""Reads the environments and command lines of every process it can see, its parents' too.
argv[1]: {"secret": [...]}: in two parts, last first, so that its own command line has it not."""

import json
import os
import sys

secret = "".join(reversed(json.loads(sys.argv[1])["secret"]))
found = [name for name, value in os.environ.items() if secret in value]
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if secret.encode() in file.read():
                    found.append(f"/proc/{pid}/{name}")
        except OSError:
            pass
print(json.dumps({"got_out": bool(found), "detail": found}))
