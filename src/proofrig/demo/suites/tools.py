"""The tools of the demo's suites. None of them checks what its caller may do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

from proofrig import ToolContext


async def score_reply(reply: str) -> dict[str, float]:
    """How good a reply is, of 10. Never above 6.9."""
    await asyncio.sleep(0.1)
    return {"score": round(6.0 + blake2b(reply.encode()).digest()[0] / 255 * 0.9, 1)}


def read_file(path: str, context: ToolContext) -> str:
    """The text of a file."""
    return (_world(context) / path).read_text()


def write_file(path: str, content: str, context: ToolContext) -> str:
    """Replace a file, or make a new one."""
    (_world(context) / path).write_text(content)
    return f"{path} has {len(content)} characters now"


def link(path: str, target: str, context: ToolContext) -> str:
    """Make a symbolic link at `path` that leads to `target`."""
    (_world(context) / path).symlink_to(target)
    return f"{path} leads to {target} now"


def run_tests(context: ToolContext) -> str:
    """The last words of the tests."""
    command = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    done = subprocess.run(
        command, cwd=_world(context), capture_output=True, text=True, timeout=20, check=False
    )
    return done.stderr.strip().splitlines()[-1]


def refund(order: str, amount: float, reason: str, context: ToolContext) -> str:
    """Give a customer money back, in dollars."""
    context.state.setdefault("refunds", {})[order] = amount
    return f"{amount:g} dollars refunded on order {order}"


def hand_over(order: str, to: str, why: str, context: ToolContext) -> str:
    """Give an order to somebody else."""
    context.state.setdefault("handed_over", {})[order] = to
    return f"order {order} is with the {to} now"


def search(query: str) -> dict[str, str]:
    """Search the web: the best page, and what it says."""
    time.sleep(0.15)
    key = blake2b(query.encode(), digest_size=3).hexdigest()
    return {"page": f"https://example.org/{key}", "says": f"a study on the {query}"}


def read_page(page: str) -> str:
    """The text of a page of the site."""
    time.sleep(0.1)
    return f"What page {page} says."


def _world(context: ToolContext) -> Path:
    if context.world is None:
        raise RuntimeError("expected a case with a world, got one without")
    return context.world
