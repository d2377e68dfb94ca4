"""Opens for writing what is outside of its files, after it tried to make it writable. Nothing is
written: that it could be opened is enough. argv[1]: {"paths": [...]}"""

import ctypes
import json
import os
import sys

MS_REMOUNT, MS_BIND, MOUNTS = 32, 4096, ["/", "/proc", "/proc/sys", "/sys", "/dev", "/usr"]
KERNEL = [
    *("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"),
    *("/proc/sys/vm/drop_caches", "/proc/sys/fs/binfmt_misc/register", "/proc/kcore"),
    *("/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent"),
    *("/sys/fs/cgroup/memory/release_agent", "/sys/power/state", "/dev/kmsg"),
    *("/dev/mem", "/dev/sda", "/dev/vda", "/dev/loop0", "/dev/loop-control", "/dev/kvm"),
]
told, found = json.loads(sys.argv[1]), []
libc = ctypes.CDLL(None, use_errno=True)
for mount in MOUNTS:
    for flags in (MS_REMOUNT, MS_REMOUNT | MS_BIND):
        if libc.mount(b"none", mount.encode(), None, flags, None) == 0:
            found.append(f"remount {mount}")
if libc.mount(b"proc", b"/tmp", b"proc", 0, None) == 0:
    found.append("mount proc")
for path in [*told["paths"], *KERNEL]:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NOFOLLOW))
        found.append(path)
    except OSError:
        pass
print(json.dumps({"got_out": bool(found), "detail": found}))
