"""Has as many processes as it gets, up to a number. argv[1]: {"most": N}: more is too many."""

import json
import os
import signal
import sys
import time

most, children = json.loads(sys.argv[1])["most"], []
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try:
    while len(children) <= 2 * most:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except OSError:
    pass
print(json.dumps({"got_out": len(children) > most, "detail": len(children)}))
