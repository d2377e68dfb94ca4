"""Reads files that belong to others: by their paths, by the roots and folders of other processes,
by links, by climbing up.
argv[1]: {"paths": [...], "secret": [...]}, the secret in two parts, last first"""

import json
import os
import sys

told = json.loads(sys.argv[1])
secret, found = "".join(reversed(told["secret"])).encode(), []


def look(path):
    try:
        with open(path, "rb") as file:
            if secret in file.read(1 << 20):
                found.append(path)
    except (OSError, ValueError):
        pass


roots = ["", "/..", "../" * 40, "/proc/self/root", "/proc/1/root", "/proc/1/cwd/" + "../" * 40]
for pid in filter(str.isdigit, os.listdir("/proc")):
    roots.append(f"/proc/{pid}/root")
    for name in os.listdir(f"/proc/{pid}/fd") if os.access(f"/proc/{pid}/fd", os.R_OK) else []:
        roots.append(f"/proc/{pid}/fd/{name}/" + "../" * 40)
for path in told["paths"]:
    for root in roots:
        look(root + path)
    for make in (os.link, os.symlink):
        link = f"stolen-{make.__name__}-{os.path.basename(path)}"
        try:
            make(path, link)
        except OSError:
            continue
        look(link)
        os.unlink(link)
print(json.dumps({"got_out": bool(found), "detail": found[:5]}))
