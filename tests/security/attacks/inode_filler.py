"""Makes empty files, up to a number. argv[1]: {"files": N, "world": path}"""

import json
import os
import sys

told, made = json.loads(sys.argv[1]), 0
for folder in (told["world"], "/tmp"):
    try:
        os.makedirs(f"{folder}/many", exist_ok=True)
        while made < told["files"]:
            os.close(os.open(f"{folder}/many/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError:
        continue
print(json.dumps({"got_out": made >= told["files"], "detail": made}))
