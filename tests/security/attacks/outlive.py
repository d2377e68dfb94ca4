"""Leaves a process behind that has left its parent, session and terminal, takes no signal, changed
its name, and tells the rig again and again that it lives. argv[1]: {"port": N}"""

import ctypes
import json
import os
import signal
import socket
import sys
import time

port = json.loads(sys.argv[1])["port"]
ready, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        os.environ.clear()
        ctypes.CDLL(None).prctl(15, b"kworker/0:1", 0, 0, 0)
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # no signal when the parent dies
        for fd in (0, 1, 2):
            os.close(fd)
        os.chdir("/")
        os.write(done, b".")
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as rig:
                    rig.sendall(b"alive")
            except OSError:
                pass
            time.sleep(0.02)
    os._exit(0)
os.wait()
os.read(ready, 1)
print(json.dumps({"got_out": False, "detail": "left one behind"}))
