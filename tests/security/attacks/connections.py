"""Opens connections to the rig's port, as many as it was told or as it can in some seconds, and
holds what it can. argv[1]: {"port": N, "count": N, "seconds": N}. It is out when the rig does not
answer it any more in the end."""

import collections
import json
import socket
import sys
import time

told = json.loads(sys.argv[1])
held, opened = collections.deque(), 0
until = time.monotonic() + told["seconds"]
while opened < told["count"] and time.monotonic() < until:
    tried = socket.socket()
    tried.setblocking(False)
    try:
        tried.connect(("127.0.0.1", told["port"]))
    except BlockingIOError:
        pass
    except OSError:
        tried.close()
        time.sleep(0.001)
        continue
    opened += 1
    held.append(tried)
    if len(held) > 500:
        held.popleft().close()
for tried in held:
    tried.close()
deadline, answer = time.monotonic() + 60, b""
while not answer and time.monotonic() < deadline:
    try:
        with socket.create_connection(("127.0.0.1", told["port"]), timeout=5) as rig:
            rig.sendall(b"still there?")
            rig.settimeout(5)
            answer = rig.recv(100)
    except OSError:
        time.sleep(0.1)
print(json.dumps({"got_out": not answer, "detail": opened}))
