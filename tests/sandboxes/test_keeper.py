"""What the keeper reads from /proc."""

from __future__ import annotations

import os
import subprocess
import sys

from proofrig.sandboxes import keeper


def test_tree_lists_parents_before_children() -> None:
    outer = subprocess.Popen(
        ["sh", "-c", "sh -c 'sleep 300 & echo $!; wait' & wait"], stdout=subprocess.PIPE
    )
    try:
        assert outer.stdout is not None
        leaf = int(outer.stdout.readline())
        found = keeper.tree(outer.pid)
        middle = keeper.parent_and_state(leaf)[0]
        assert found == [outer.pid, middle, leaf]
    finally:
        for pid in reversed(keeper.tree(outer.pid)):
            keeper.kill(pid)
        outer.communicate()


def test_what_is_gone_is_nobody() -> None:
    done = subprocess.Popen([sys.executable, "-S", "-c", ""])
    done.wait()
    assert keeper.parent_and_state(done.pid) == (0, "")
    assert not keeper.carries(done.pid, "x")
    assert not keeper.kill(done.pid)


def test_own_parent_and_last_pid() -> None:
    assert keeper.parent_and_state(os.getpid())[0] == os.getppid()
    child = subprocess.Popen(["true"])
    child.wait()
    assert keeper.last_pid() >= child.pid
