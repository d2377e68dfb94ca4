"""Uses memory up to an amount, in children too. argv[1]: {"bytes": N}: having that much is out."""

import json
import os
import sys

wanted = json.loads(sys.argv[1])["bytes"]
pid = os.fork()
if pid == 0:
    part = b"x" * (wanted // 2)
    os._exit(0 if len(part) else 1)
held = []
for _ in range(16):
    held.append(b"x" * (wanted // 16))
_, status = os.waitpid(pid, 0)
print(json.dumps({"got_out": True, "detail": sum(map(len, held))}))
