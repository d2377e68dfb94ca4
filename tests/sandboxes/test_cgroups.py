"""Groups of the kernel, of whichever version this machine has; version 2 also on a drawn tree.

`tests/slow/cgroup_v2.py` does the real thing on a machine with version 2.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes import cgroups, owners
from proofrig.sandboxes._cgroup_files import Counters
from proofrig.sandboxes._cgroup_v1 import Version1
from proofrig.sandboxes._cgroup_v2 import RUNNER, Version2, own_group
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.sandbox import Limits, Unavailable, Usage

MB = 1 << 20
VERSION, SAID = cgroups.probe()
real = pytest.mark.skipif(VERSION == 0, reason=SAID)
BOMB = "read go; bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 300"
HOG = (
    "import sys; sys.stdin.read(1); x = bytearray({} << 20); print(len(x), flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Group]]:
    """Makes groups, which are gone afterwards."""
    made: list[Group] = []

    def make(**limits: float) -> Group:
        name = f"t-{re.sub('[^a-z]', '', request.node.name)}-{len(made)}"
        made.append(Group.make(name, Limits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for group in made:
        group.kill()
        group.remove()


@contextlib.contextmanager
def inside(group: Group, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the group that has waited for its first byte until it was in."""
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        group.add(process.pid)
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], object]) -> None:
    for _ in range(2000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("never came true")


def folders(group: Group) -> list[Path]:
    return [path for path in group._folders if path.exists()]


@real
def test_a_group_is_named_made_and_gone(make: Callable[..., Group]) -> None:
    group = make(memory_bytes=64 * MB, processes=10, cpus=0.5)
    assert group.name.startswith(f"proofrig/{owners.tag()}/t-")
    assert group.held == "enforced"
    assert folders(group)
    assert group.pids() == []
    group.remove()
    assert folders(group) == []
    group.remove()
    assert group.kill() == 0


@real
def test_nothing_is_left_around_groups() -> None:
    """Not while there is one, and not after a runner that ends in good order."""
    group = Group.make("alone", Limits())
    owner = group._folders[0].parent
    cgroups.leave()
    assert owner.exists()
    group.remove()
    cgroups.leave()
    assert not owner.exists()
    code = "from proofrig.sandboxes.cgroups import probe; import os; probe(); print(os.getpid())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not list(owner.parent.glob(f"{ran.stdout.strip()}-*"))


@real
def test_a_process_puts_itself_into_a_group(make: Callable[..., Group]) -> None:
    group = make()
    script = 'for door in "$@"; do echo 0 > "$door"; done; exec sleep 99'
    with subprocess.Popen(["sh", "-c", script, "sh", *group.doors]) as process:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n")
        assert group.pids() == [process.pid]
        process.kill()


@real
def test_names_that_no_folder_can_have() -> None:
    group = Group.make("run/../a case:3 ä" + "x" * 300, Limits())
    assert group.name.split("/")[2].startswith("run_.._a_case_3__xxx")
    assert folders(group)
    group.remove()


@real
def test_a_name_is_given_once(make: Callable[..., Group]) -> None:
    first = make()
    with pytest.raises(SandboxError, match="already"):
        Group.make(first.name.split("/")[2], Limits())
    assert folders(first)


@real
def test_memory_is_limited_and_counted(make: Callable[..., Group]) -> None:
    group = make(memory_bytes=48 * MB)
    with inside(group, sys.executable, "-S", "-c", HOG.format(200)) as hog:
        assert hog.wait() == -signal.SIGKILL
        usage = group.read()
        assert usage.oom_kills and usage.memory_peak_bytes
        assert 40 * MB < usage.memory_peak_bytes <= 48 * MB
        assert group.broke() == ("memory",)


@real
def test_below_the_limit_nothing_breaks(make: Callable[..., Group]) -> None:
    group = make(memory_bytes=256 * MB, processes=20)
    with inside(group, sys.executable, "-S", "-c", HOG.format(60)) as hog:
        assert hog.stdout and hog.stdout.readline() == b"%d\n" % (60 * MB)
        until(lambda: (group.sample() or 0) > 55 * MB)
        hog.kill()
        hog.wait()
    assert group.broke() == ()
    usage = group.read()
    assert usage.memory_peak_bytes and usage.memory_anon_peak_bytes
    assert 55 * MB < usage.memory_anon_peak_bytes < usage.memory_peak_bytes < 100 * MB
    assert usage.oom_kills == 0
    group.remove()
    assert group.read() == usage


@real
def test_a_kill_is_not_taken_for_a_lack_of_memory(make: Callable[..., Group]) -> None:
    group = make(memory_bytes=64 * MB)
    with inside(group, "sh", "-c", "read go; kill -9 $$") as process:
        assert process.wait() == -signal.SIGKILL
    assert group.read().oom_kills == 0
    assert group.broke() == ()


@real
def test_page_cache_is_in_the_peak_and_not_in_anonymous_memory(
    make: Callable[..., Group], tmp_path: Path
) -> None:
    group = make(memory_bytes=512 * MB)
    write = f"read go; head -c {80 * MB} /dev/zero > {tmp_path}/file; echo done; read go"
    with inside(group, "sh", "-c", write) as process:
        assert process.stdout and process.stdout.readline() == b"done\n"
        group.sample()
        usage = group.read()
    assert usage.memory_peak_bytes and usage.memory_anon_peak_bytes is not None
    assert usage.memory_peak_bytes > 75 * MB
    assert usage.memory_anon_peak_bytes < 20 * MB


@real
def test_processes_are_limited_and_a_bomb_is_ended(make: Callable[..., Group]) -> None:
    group = make(processes=24)
    with inside(group, "bash", "-c", BOMB) as bomb:
        until(lambda: (group.read().processes_refused or 0) > 10)
        assert (group.read().processes_peak or 0) <= 24
        assert group.kill() >= 2
        assert group.pids() == []
        assert bomb.wait() == -signal.SIGKILL
    assert group.broke() == ("processes",)


@real
def test_a_bomb_without_a_limit_is_ended_and_broke_nothing(make: Callable[..., Group]) -> None:
    group = make()
    endless = "import os,sys,time\nsys.stdin.read(1)\nwhile True:\n  os.fork() and os._exit(0)"
    with inside(group, sys.executable, "-S", "-c", endless) as process:
        assert process.wait() == 0  # its descendants fork on, one after the other
        until(lambda: (group.read().cpu_ms or 0) > 20)
        group.kill()
    assert group.pids() == []
    assert group.broke() == ()


@real
def test_processors_are_limited_and_time_is_read(make: Callable[..., Group]) -> None:
    group = make(cpus=0.2)
    burn = "import sys,time\nsys.stdin.read(1)\nwhile time.process_time() < 0.2: pass"
    with inside(group, sys.executable, "-S", "-c", burn) as process:
        assert process.wait() == 0
    usage = group.read()
    assert 180 < (usage.cpu_ms or 0) < 2000
    assert (usage.throttled_ms or 0) > 100
    assert group.broke() == ()


@real
def test_daemons_are_counted_and_ended(make: Callable[..., Group]) -> None:
    group = make()
    daemon = "read go; setsid sh -c 'exec </dev/null >/dev/null; while :; do :; done' & echo $!"
    with inside(group, "sh", "-c", daemon) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        assert process.wait() == 0
        until(lambda: (group.read().cpu_ms or 0) > 50)
        assert group.pids() == [pid]
        assert group.kill() == 1
    assert not Path(f"/proc/{pid}").exists() or group.pids() == []


@real
def test_a_process_that_is_gone_cannot_be_added(make: Callable[..., Group]) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(SandboxError, match=f"process {process.pid}"):
        make().add(process.pid)


@real
def test_many_at_once() -> None:
    def one(number: int) -> bool:
        group = Group.make(f"many-{number}", Limits(memory_bytes=64 * MB, processes=8, cpus=0.5))
        there = bool(folders(group))
        group.remove()
        return there

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))


def test_without_rights_it_says_so() -> None:
    """As somebody else: no limits on version 1, and on 2 only where they were delegated."""
    program = (
        "import os; from proofrig.sandboxes.cgroups import probe; "
        "os.setgroups([]) if os.geteuid() == 0 else None; "
        "os.geteuid() == 0 and (os.setgid(65534), os.setuid(65534)); print(*probe())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    version, _, said = done.stdout.partition(" ")
    if os.geteuid() == 0:
        assert version == "0", done.stderr
    assert version in "12" or re.search("limits need .*: .*", said)


@pytest.mark.skipif(VERSION == 0 or os.geteuid() != 0, reason="only root mounts")
def test_what_may_only_be_read_is_told(make: Callable[..., Group]) -> None:
    """As in a container: in a mount namespace in which the groups are read-only."""
    top = make()._folders[0].parents[2]
    program = "from proofrig.sandboxes.cgroups import probe; print(*probe())"
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "-", str(top), sys.executable, program],
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("0 limits need to write to cgroup v"), done.stderr
    assert "read-only" in done.stdout and str(top) in done.stdout


DEAD_RUNNER = """
import subprocess, sys
from proofrig.sandboxes.cgroups import Group
from proofrig.sandboxes.sandbox import Limits
groups = [Group.make(f"{run}-box", Limits()) for run in sys.argv[1:]]
for group in groups:
    group.add(subprocess.Popen(["sleep", "300"], stdout=subprocess.DEVNULL).pid)
print(*(group.name for group in groups), flush=True)
sys.stdin.read()
"""


@real
def test_groups_of_dead_runners_are_found_and_swept(make: Callable[..., Group]) -> None:
    mine = make()
    runs = [secrets.token_hex(4) for _ in range(2)]
    runner = subprocess.Popen(
        [sys.executable, "-c", DEAD_RUNNER, *runs],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout
    first, second = runner.stdout.readline().split()
    assert not {first, second} & set(cgroups.leftovers())
    runner.kill()
    runner.communicate()
    assert {first, second} <= set(cgroups.leftovers())
    assert mine.name not in cgroups.leftovers()
    assert cgroups.leftovers(runs[0]) == [first]
    assert cgroups.sweep(runs[0]) == [first]
    assert cgroups.sweep(runs[1]) == [second]
    assert not {first, second} & set(cgroups.leftovers())
    assert folders(mine)


def draw(root: Path, **files: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name.replace("_", ".", 1)).write_text(text)
    return root


def group2(path: Path, enabled: str = "", procs: str = "") -> Path:
    return draw(
        path,
        cgroup_controllers="cpu memory pids",
        cgroup_subtree_control=enabled,
        cgroup_procs=procs,
    )


@pytest.mark.parametrize(
    ("controllers", "said"),
    [
        (None, "none are mounted"),
        ([], "none are mounted"),
        (["cpu"], "no memory and no pids"),
        (["memory"], "there is no pids"),
    ],
    ids=["no folder", "nothing", "cpu alone", "memory alone"],
)
def test_what_is_missing_is_named(tmp_path: Path, controllers: list[str] | None, said: str) -> None:
    root = tmp_path / "cgroup"
    for name in controllers or ():
        (root / name).mkdir(parents=True)
    version, reason = cgroups.probe(root)
    assert version == 0
    assert said in reason and str(root) in reason
    assert "use `process`" in reason


def test_one_hierarchy_with_two_names_is_one_folder(tmp_path: Path) -> None:
    for name in ("memory", "pids", "cpu,cpuacct"):
        (tmp_path / name).mkdir()
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    assert len(Version1(tmp_path).folders("proofrig/x/y")) == 3


def test_the_numbers_of_version_1(tmp_path: Path) -> None:
    draw(
        tmp_path / "memory" / "x",
        memory_stat="rss 1\nrss_huge 7\ntotal_rss 4096\n",
        memory_oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        memory_max_usage_in_bytes="8192\n",
    )
    draw(tmp_path / "pids" / "x", pids_current="3\n", pids_events="max 5\n")
    draw(tmp_path / "cpuacct" / "x", cpuacct_usage="1234567890\n")
    draw(tmp_path / "cpu" / "x", cpu_stat="nr_periods 9\nthrottled_time 2500000\n")
    assert Version1(tmp_path).count("x") == Counters(
        memory_peak=8192,
        anon_now=4096,
        cpu_us=1_234_567,
        throttled_us=2500,
        processes_now=3,
        processes_refused=5,
        oom_kills=2,
    )


def test_the_numbers_of_version_2_and_what_an_old_kernel_does_not_tell(tmp_path: Path) -> None:
    box = draw(
        tmp_path / "x",
        memory_current="5000\n",
        memory_stat="anon 4096\nfile 904\n",
        memory_events="low 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 1\n",
        cpu_stat="usage_usec 1500\nuser_usec 1\nthrottled_usec 70\n",
        pids_current="3\n",
        pids_events="max 4\n",
    )
    old = Group(Version2(tmp_path), "x")
    assert old.read() == Usage(
        memory_peak_bytes=5000,  # sampled: there is no memory.peak
        memory_anon_peak_bytes=4096,
        cpu_ms=1,
        throttled_ms=0,
        processes_peak=3,
        processes_refused=4,
        oom_kills=2,
    )
    draw(box, memory_current="4000\n", memory_stat="anon 100\n", pids_current="1\n")
    usage = old.read()
    assert (usage.memory_peak_bytes, usage.memory_anon_peak_bytes) == (5000, 4096)
    draw(box, memory_peak="9000\n", pids_peak="8\n")
    usage = old.read()
    assert (usage.memory_peak_bytes, usage.processes_peak) == (9000, 8)
    assert old.broke() == ("memory", "processes")


def test_what_nobody_tells_is_none(tmp_path: Path) -> None:
    assert Group(Version2(tmp_path), "x").read() == Usage()


def test_the_limits_of_version_2(tmp_path: Path) -> None:
    files = ("memory_max", "memory_swap.max", "memory_oom.group", "pids_max", "cpu_max")
    box = draw(tmp_path / "x", **dict.fromkeys(files, ""))
    tree = Version2(tmp_path)
    tree.limit("x", Limits(memory_bytes=64 * MB, processes=9, cpus=0.25))
    said = {path.name: path.read_text() for path in box.iterdir()}
    assert said == {
        "memory.max": str(64 * MB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "9",
        "cpu.max": "25000 100000",
    }
    (box / "cpu.max").unlink()
    with pytest.raises(Unavailable, match="controller cpu"):
        tree.limit("x", Limits(cpus=1))


def test_a_delegated_group_is_used_below_and_from_its_leaf(tmp_path: Path) -> None:
    group2(tmp_path)
    scope = group2(tmp_path / "user" / "mine.scope", enabled="cpu memory pids")
    group2(scope / RUNNER)
    for own in ("/user/mine.scope", f"/user/mine.scope/{RUNNER}"):
        assert Version2.find(tmp_path, own).base == scope


def test_our_own_processes_make_room(tmp_path: Path) -> None:
    """The kernel refuses (EBUSY) until the group is empty; here only the moving is drawn."""
    from proofrig.sandboxes._cgroup_v2 import make_room

    child = subprocess.Popen(["sleep", "300"])
    try:
        scope = group2(tmp_path / "scope", procs=f"{os.getpid()}\n{child.pid}\n")
        group2(scope / RUNNER)
        make_room(scope)
        assert (scope / RUNNER / "cgroup.procs").read_text().startswith(str(child.pid))
    finally:
        child.kill()
        child.wait()


def test_strangers_are_not_moved(tmp_path: Path) -> None:
    from proofrig.sandboxes._cgroup_v2 import make_room

    scope = group2(tmp_path / "scope", procs=f"1\n{os.getpid()}\n0\n")
    with pytest.raises(Unavailable, match="not ours"):
        make_room(scope)
    assert not (scope / RUNNER).exists()


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("0::/user.slice/a b.scope\n", "/user.slice/a b.scope"),
        ("9:memory:/x\n0::/\n", "/"),
        ("9:memory:/x\n", "/"),
    ],
)
def test_our_own_group(text: str, own: str) -> None:
    assert own_group(text) == own


def test_without_controllers_version_2_says_what_to_do(tmp_path: Path) -> None:
    scope = group2(tmp_path)
    (scope / "cgroup.controllers").write_text("hugetlb pids\n")
    version, reason = cgroups.probe(scope)
    assert version == 0
    assert "not given memory" in reason and "Delegate=yes" in reason
