"""Leaves traps for whoever collects its world, and goes on changing them: links to others' files,
a folder that was there swapped for a link, pipes, sockets, devices, a file that is one hole, a hard
link to what it was shown. argv[1]: {"paths": [...], "folder": path, "shown": path, "world": path,
"sparse": bytes}"""

import contextlib
import json
import os
import shutil
import socket
import stat
import sys
import time

told = json.loads(sys.argv[1])
os.chdir(told["world"])
for number, path in enumerate(told["paths"]):
    os.symlink(path, f"link-{number}")
    os.symlink("../" * 30 + path, f"climb-{number}")
    os.makedirs(f"deep-{number}/a")
    os.symlink(os.path.dirname(path), f"deep-{number}/a/there")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
with contextlib.suppress(OSError):
    os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
with contextlib.suppress(OSError):
    os.link(told["shown"], "hard")
with open("sparse", "wb") as file:
    file.truncate(told["sparse"])
with open("setuid", "w") as file:
    file.write("#!/bin/sh\n")
os.chmod("setuid", 0o6777)
shutil.rmtree("folder")
os.symlink(told["folder"], "folder")
laid = json.dumps({"got_out": False, "detail": sorted(os.listdir("."))}).encode()
os.write(int(os.environ["PROOFRIG_REPLY_FD"]), laid)
while True:  # until it is killed: the last state is any of them
    try:
        os.mkdir("swap")
        with open("swap/file", "w") as file:
            file.write("swapped")
        os.unlink("swap/file")
        os.rmdir("swap")
        os.symlink(told["folder"], "swap")
        os.unlink("swap")
    except OSError:
        time.sleep(0.001)
