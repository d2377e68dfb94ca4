"""Verdicts end to end: the support desk's example against itself, against a worse one, and against
one that acts otherwise.

    python -m slow.verdicts [--pairs 40] [--drops 10] [--changes 3] [--repeats N] [--seed 1]

Every run is a process of its own with a seed of its own, on the example as it is shipped. Three
agents: the shipped one; `worse`, whose model errs 1.75 times as often (about 15 points of the pass
rate); `chatty`, which lists all orders before it does anything, and passes as often.

Exit 1: more than 2 of 40 pairs of equal agents are `regressed` (or as many in proportion), fewer
than 9 of 10 pairs with the worse agent are, or a change of tools is not told.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "support_desk"
WORSE = 1.75
CHATTY = (
    "        said = []\n",
    '        if customer and not self.answers("list_orders"):\n'
    '            self.call("list_orders", customer_id=customer["id"])\n'
    "        said = []\n",
)


def worse(text: str) -> str:
    """The model's source with its rates of mistakes raised."""
    begin = text.index("RATES = {")
    end = text.index("}", begin)
    raised = re.sub(
        r'": ([\d.]+)', lambda found: f'": {float(found[1]) * WORSE:.4f}', text[begin:end]
    )
    return text[:begin] + raised + text[end:]


def chatty(text: str) -> str:
    """The model's source with one call more."""
    assert text.count(CHATTY[0]) == 1
    return text.replace(*CHATTY)


def proofrig(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "proofrig", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Desk:
    """Runs the example's variants below `root`, and compares runs."""

    def __init__(self, root: Path, repeats: int) -> None:
        self.root, self.repeats = root, repeats
        for name, change in (("same", str), ("worse", worse), ("chatty", chatty)):
            shutil.copytree(EXAMPLE, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            model = root / name / "model.py"
            model.write_text(change(model.read_text()))

    def run(self, variant: str, seed: int) -> Path:
        """The directory of a new run."""
        place = self.root / f"{variant}-{seed}"
        repeats = ("--repeat", str(self.repeats)) if self.repeats else ()
        done = proofrig(
            *("run", self.root / variant, "--root", place, "--seed", str(seed), "-q"),
            *("--no-baselines", *repeats),
        )
        if done.returncode not in (0, 1, 4):
            raise SystemExit(f"run {variant} {seed}: exit {done.returncode}\n{done.stderr}")
        (found,) = (place / "runs").iterdir()
        return found

    def pair(self, base: str, now: str, seed: int) -> dict[str, Any]:
        """Two new runs, compared."""
        one, other = self.run(base, 2 * seed), self.run(now, 2 * seed + 1)
        done = proofrig("compare", one, other, "--json", "--root", self.root)
        if not done.stdout:
            raise SystemExit(f"compare: exit {done.returncode}\n{done.stderr}")
        found: dict[str, Any] = json.loads(done.stdout)
        for run in (one, other):
            shutil.rmtree(run)
        return found

    def pairs(self, base: str, now: str, seeds: Iterable[int]) -> list[dict[str, Any]]:
        """Pairs, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda seed: self.pair(base, now, seed), seeds))


def told(title: str, found: list[dict[str, Any]], word: str, limit: str) -> int:
    """Print what came; how often `word` did."""
    verdicts = Counter(one["verdict"] for one in found)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"{title}: {len(found)} pairs: {said}   ({word}: {limit})", flush=True)
    return verdicts[word]


def main() -> int:
    parser = argparse.ArgumentParser(prog="slow.verdicts")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--drops", type=int, default=10)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=0, help="0: as shipped")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="proofrig-verdicts-") as folder:
        desk = Desk(Path(folder), asked.repeats)
        begin = 1000 * asked.seed
        if asked.pairs:
            most = math.floor(asked.pairs / 20)
            same = desk.pairs("same", "same", range(begin, begin + asked.pairs))
            bad += told("the same agent", same, "regressed", f"at most {most}") > most
        begin += 300
        if asked.drops:
            least = math.floor(0.9 * asked.drops)
            fell = desk.pairs("same", "worse", range(begin, begin + asked.drops))
            bad += told("a worse agent", fell, "regressed", f"at least {least}") < least
        begin += 300
        changed = desk.pairs("same", "chatty", range(begin, begin + asked.changes))
        if changed:
            said = [
                any("list_orders" in json.dumps(line) for line in one.get("behaviour", []))
                for one in changed
            ]
            print(f"another use of tools: told in {sum(said)} of {len(said)} pairs")
            told("  its verdicts", changed, "regressed", "as rarely as the same agent's")
            bad += not all(said)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
