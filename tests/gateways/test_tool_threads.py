"""Threads for blocking tools."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from proofrig.gateways.tool_threads import ToolThreads


async def test_values_and_errors_come_back() -> None:
    threads = ToolThreads()
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await threads.run(lambda: sys.exit(3))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(lambda: next(iter(())))
    threads.close()


async def test_threads_are_reused_and_never_more_than_the_limit() -> None:
    threads = ToolThreads(limit=3)
    used: set[int] = set()
    gate = threading.Event()

    def work() -> None:
        used.add(threading.get_ident())
        gate.wait(5)

    waiting = [asyncio.create_task(threads.run(work)) for _ in range(10)]
    await asyncio.sleep(0.05)
    assert len(used) == 3
    gate.set()
    await asyncio.gather(*waiting)
    await threads.run(work)
    assert len(used) == 3
    threads.close()


async def test_giving_up_leaves_the_thread_to_its_work() -> None:
    threads = ToolThreads(limit=1)
    gate = threading.Event()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(threads.run(lambda: gate.wait(5)), 0.02)
    gate.set()
    assert await threads.run(lambda: "next") == "next"
    threads.close()


def test_a_hung_tool_does_not_keep_the_process() -> None:
    code = (
        "import asyncio, threading\n"
        "from proofrig.gateways.tool_threads import ToolThreads\n"
        "async def main():\n"
        "    threads = ToolThreads()\n"
        "    hung = asyncio.ensure_future(threads.run(threading.Event().wait))\n"
        "    await asyncio.sleep(0.05)\n"
        "    hung.cancel()\n"
        "    threads.close()\n"
        "asyncio.run(main())\n"
        "print('over')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "over\n")


async def test_what_was_given_up_before_a_thread_was_free_never_runs() -> None:
    threads, ran = ToolThreads(limit=1), list[str]()
    busy = threading.Event()
    first = asyncio.create_task(threads.run(busy.wait))
    second = asyncio.create_task(threads.run(lambda: ran.append("given up")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    busy.set()
    await first
    await threads.run(lambda: ran.append("next"))
    threads.close()
    assert ran == ["next"]
