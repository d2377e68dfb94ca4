"""What a killed runner leaves, found and removed; what is alive, or is not ours, stays."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proofrig.errors import SandboxError
from proofrig.sandboxes import keeper, leftovers, owners
from proofrig.sandboxes.leftovers import Leftover, clean, dead, home, leave, remove

GONE = "4194999-1" + "".join(owners.tag().partition("n")[1:])  # no kernel gives out such a pid
RUNNER = """
import subprocess, sys
from pathlib import Path
from proofrig.sandboxes.leftovers import home

base, run = Path(sys.argv[1]), sys.argv[2]
box = home(run, base) / "box"
(box / "work" / "work").mkdir(parents=True)
(box / "work" / "work").chmod(0)
(box / "file").write_text("x")
(box / "link").symlink_to(base.parent / "precious")
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
marked = subprocess.Popen(["sleep", "300"], env={"PROOFRIG_RUN": run}, **quiet)
named = subprocess.Popen(["sh", "-c", "sleep 300; exit", f"{box}/disk"], **quiet)
print(box.parent, marked.pid, named.pid, flush=True)
sys.stdin.read()
"""


class Runner:
    """A runner with a box and two processes that would outlive it."""

    def __init__(self, base: Path, run: str) -> None:
        self.run = run
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(base), run],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        folder, marked, named = self.process.stdout.readline().split()
        self.home = Path(folder)
        self.pids = [int(marked), int(named)]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def found(self, kind: str, base: Path) -> list[str]:
        return [left.what for left in dead(base) if (left.kind, left.owner) == (kind, self.tag)]

    @property
    def tag(self) -> str:
        return self.home.name


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data").write_text("x")
    return tmp_path / "boxes"


@pytest.fixture
def runner(base: Path) -> Iterator[Callable[[str], Runner]]:
    made: list[Runner] = []

    def start(run: str = "") -> Runner:
        made.append(Runner(base, run or secrets.token_hex(8)))
        return made[-1]

    yield start
    for each in made:
        each.kill()
        for pid in each.pids:
            keeper.kill(pid)


def lives(pid: int) -> bool:
    return keeper.parent_and_state(pid)[1] not in ("", "Z", "X")


def test_a_home_is_ours_and_says_whose(base: Path) -> None:
    folder = home("r1", base)
    assert folder == base / owners.tag() == home("r2", base)
    assert [oct(path.stat().st_mode & 0o777) for path in (base, folder)] == ["0o711"] * 2
    assert json.loads((folder / "owner.json").read_text()) == {"runs": ["r1", "r2"]}
    assert home("r1", base) == folder
    assert json.loads((folder / "owner.json").read_text()) == {"runs": ["r1", "r2"]}
    (folder / "box").mkdir()
    leave(base)
    assert not base.exists()
    leave(base)


def test_a_runner_that_ends_in_good_order_leaves_nothing(base: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from proofrig.sandboxes.leftovers import home;"
        "place = home('r', Path(sys.argv[1])); (place / 'box').mkdir(); print(place.is_dir())"
    )
    done = subprocess.run([sys.executable, "-c", program, str(base)], capture_output=True)
    assert (done.stdout, done.stderr) == (b"True\n", b"")
    assert not base.exists()


def test_the_usual_place_is_the_temporary_folder_of_this_user() -> None:
    assert leftovers.usual_base().name == f"proofrig-boxes-{os.geteuid()}"


@pytest.mark.parametrize("how", ["writable", "link", "file", "owner"])
def test_a_place_that_others_may_write_to_is_refused(base: Path, tmp_path: Path, how: str) -> None:
    if how == "link":
        (tmp_path / "precious").chmod(0o777)
        base.symlink_to(tmp_path / "precious")
    elif how == "file":
        base.write_text("x")
    else:
        base.mkdir()
        base.chmod(0o777) if how == "writable" else None
    if how == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(base, 65534, 65534)
    with pytest.raises(SandboxError, match=r"TMPDIR|no folder"):
        home("r", base)
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["data"]


def test_of_a_living_runner_nothing_is_left(base: Path, runner: Callable[[], Runner]) -> None:
    alive = runner()
    assert [left for left in dead(base) if left.owner == alive.tag] == []
    clean(base)
    assert all(lives(pid) for pid in alive.pids)
    assert (alive.home / "box" / "file").exists()


def test_what_a_killed_runner_left_is_found_and_removed(
    base: Path, runner: Callable[[], Runner], tmp_path: Path
) -> None:
    killed, alive = runner(), runner()
    killed.kill()
    assert killed.found("process", base) == [str(pid) for pid in killed.pids]
    assert killed.found("storage", base) == [str(killed.home)]
    cleaned = [item for item in clean(base) if item.leftover.owner == killed.tag]
    assert [(item.leftover.kind, item.error) for item in cleaned] == [
        ("process", ""),
        ("process", ""),
        ("storage", ""),
    ]
    assert not any(lives(pid) for pid in killed.pids)
    assert not killed.home.exists()
    assert (tmp_path / "precious" / "data").read_text() == "x"
    assert all(lives(pid) for pid in alive.pids) and alive.home.exists()
    assert [left for left in dead(base) if left.owner in (killed.tag, alive.tag)] == []


def test_processes_of_a_run_that_was_taken_up_again_stay(
    base: Path, runner: Callable[..., Runner]
) -> None:
    run = secrets.token_hex(8)
    killed, alive = runner(run), runner(run)
    killed.kill()
    assert killed.found("process", base) == [str(killed.pids[1])]  # known by its folder
    clean(base)
    assert lives(killed.pids[0]) and all(lives(pid) for pid in alive.pids)
    assert not lives(killed.pids[1])


def test_a_pid_that_was_given_out_again_is_not_the_runner(base: Path) -> None:
    again = base / f"{os.getpid()}-1"
    again.mkdir(parents=True)
    kept = base / "notes"
    kept.mkdir()
    assert Leftover("storage", str(again), again.name) in dead(base)
    clean(base)
    assert not again.exists() and kept.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_another_user_left_is_not_touched(base: Path) -> None:
    theirs = base / GONE
    theirs.mkdir(parents=True)
    os.chown(base, 65534, 65534)
    assert [left for left in dead(base) if left.kind == "storage"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts and can be somebody else")
def test_a_home_stays_with_what_cannot_be_removed(base: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from proofrig.sandboxes.leftovers import clean;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); os.chdir('/');"
        "print(*(f'{left.kind}={error}' for left, error in clean(Path(sys.argv[1]))), sep='\\n')"
    )
    base = Path("/tmp") / f"proofrig-test-{secrets.token_hex(6)}"  # others cannot enter tmp_path
    (base / GONE / "m").mkdir(parents=True)
    for path in (base, base / GONE):
        os.chown(path, 65534, 65534)
    subprocess.run(["mount", "-t", "tmpfs", "none", base / GONE / "m"], check=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(base)], capture_output=True, text=True
        )
        mount, storage = done.stdout.splitlines()
        assert mount.startswith("mount=cannot unmount"), done.stderr
        assert storage == "storage=kept, because not all else of its runner is gone"
        assert (base / GONE / "m").is_dir()
    finally:
        subprocess.run(["umount", base / GONE / "m"], check=True)
        remove(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts and attaches devices")
def test_mounts_and_devices_go_before_the_files(base: Path, tmp_path: Path) -> None:
    box = base / GONE / "a box"
    (box / "m").mkdir(parents=True)
    (box / "disk").write_bytes(bytes(1 << 20))
    subprocess.run(["mount", "--bind", tmp_path / "precious", box / "m"], check=True)
    attach = ["losetup", "--find", "--show", box / "disk"]
    device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
    with pytest.raises(SandboxError, match="is mounted in it"):
        remove(base / GONE)
    cleaned = [item for item in clean(base) if item.leftover.owner == GONE]
    assert [(*item.leftover[:2], item.error) for item in cleaned] == [
        ("mount", str(box / "m"), ""),
        ("loop device", device, ""),
        ("storage", str(base / GONE), ""),
    ]
    assert (tmp_path / "precious" / "data").read_text() == "x"
    assert not base.exists()
    attached = subprocess.run(["losetup", "-l"], check=True, capture_output=True, text=True)
    assert str(base) not in attached.stdout


def test_remove_takes_trees_that_nobody_may_read_or_that_are_very_deep(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "work" / "work" / "x").mkdir(parents=True)
    (tree / "work" / "work").chmod(0)
    subprocess.run(
        [sys.executable, "-c", "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"],
        cwd=tree,
        check=True,
    )
    remove(tree)
    assert not tree.exists()
    remove(tree)


def test_remove_as_somebody_who_is_not_root() -> None:
    """Mode 000 stops everybody but root."""
    program = (
        "import os, sys; from pathlib import Path; from proofrig.sandboxes.leftovers import remove;"
        "os.geteuid() == 0 and (os.setgroups([]), os.setgid(65534), os.setuid(65534));"
        "os.chdir('/'); tree = Path(sys.argv[1]); (tree / 'work' / 'work').mkdir(parents=True);"
        "(tree / 'work' / 'work').chmod(0); remove(tree); print(tree.exists())"
    )
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # others cannot enter tmp_path
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", program, f"{place}/tree"], capture_output=True, text=True
        )
        assert done.stdout.strip() == "False", done.stderr


def test_a_process_that_looks_at_a_left_file_in_a_terminal_stays(base: Path) -> None:
    folder = base / GONE
    folder.mkdir(parents=True)
    pid, master = os.forkpty()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "sleep 300; exit", f"{folder}/log"])
    try:
        for _ in range(500):
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                break
            time.sleep(0.01)
        assert str(pid) not in [left.what for left in dead(base) if left.kind == "process"]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)
