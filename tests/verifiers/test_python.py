from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from builders import evidence, world
from proofrig.verifiers import Verdict, judge
from proofrig.verifiers.python import PythonCheck

CHECKS = """
import helpers
from proofrig.verifiers import Verdict

def ok(evidence): return evidence.answer == helpers.WANTED
def score(evidence, of=4): return len(evidence.answer) / of
def one(evidence): return 1
def own(evidence): return Verdict(verifier="mine", passed=False, message="because")
def nothing(evidence): pass
def much(evidence): return 1.5
def nan(evidence): return float("nan")
def leaves(evidence): raise SystemExit(3)
def raises(evidence): return 1 / 0
async def late(evidence): return True
class Group:
    @staticmethod
    def inner(evidence): return True
number = 7
"""


def judged(suite: Path, target: str, answer: str = "yes", **settings: Any) -> Verdict:
    verifier = PythonCheck(target=target, **settings)
    return judge(verifier, evidence(answer, suite_dir=suite))


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    world(tmp_path, {"checks.py": CHECKS, "helpers.py": "WANTED = 'yes'\n"})
    world(
        tmp_path, {"bad.py": "import nowhere_at_all\n", "pack/sub.py": "def ok(e): return True\n"}
    )
    return tmp_path


@pytest.mark.parametrize(
    ("target", "settings", "passed", "score"),
    [
        ("checks:ok", {}, True, 1.0),
        ("checks:ok", {"answer": "no"}, False, 0.0),
        ("checks:one", {}, True, 1.0),
        ("checks:Group.inner", {}, True, 1.0),
        ("pack.sub:ok", {}, True, 1.0),
        ("checks:score", {}, False, 0.75),
        ("checks:score", {"threshold": 0.75}, True, 0.75),
        ("checks:score", {"args": {"of": 3}}, True, 1.0),
    ],
)
def test_what_a_check_says(
    target: str, settings: dict[str, Any], passed: bool, score: float, suite: Path
) -> None:
    verdict = judged(suite, target, **settings)
    assert (verdict.verifier, verdict.passed, verdict.score) == ("python", passed, score)


def test_a_check_may_say_it_in_its_own_words(suite: Path) -> None:
    verdict = judged(suite, "checks:own")
    assert verdict == Verdict(verifier="mine", passed=False, message="because")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("checks:nothing", "got None"),
        ("checks:much", "got 1.5"),
        ("checks:nan", "got nan"),
        ("checks:leaves", "ended the program (3)"),
        ("checks:raises", "ZeroDivisionError"),
        ("checks:late", "plain function"),
        ("checks:number", "plain function"),
        ("checks:absent", "expected absent in checks.py"),
        ("absent:ok", "expected the module absent"),
        ("json:loads", "expected the module json"),  # only the suite's own modules
        ("bad:ok", "nowhere_at_all"),
    ],
)
def test_a_broken_check_measures_nothing(target: str, says: str, suite: Path) -> None:
    verdict = judged(suite, target)
    assert verdict.passed is None
    assert says in verdict.message


def test_two_suites_keep_their_own_modules_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        files: dict[str, str | bytes] = {
            "checks.py": "import helpers\ndef ok(e): return e.answer == helpers.NAME\n",
            "helpers.py": f"NAME = {name!r}\n",
        }
        world(tmp_path / name, files)
    path = list(sys.path)
    for _ in range(2):
        for name in ("a", "b"):
            assert judged(tmp_path / name, "checks:ok", answer=name).passed is True
            assert judged(tmp_path / name, "checks:ok", answer="c").passed is False
    assert not {"checks", "helpers"} & set(sys.modules)
    assert sys.path == path


def test_a_module_of_the_same_name_elsewhere_is_put_back(tmp_path: Path) -> None:
    import fractions

    world(tmp_path, {"fractions.py": "def ok(e): return True\n"})
    assert judged(tmp_path, "fractions:ok").passed is True
    assert sys.modules["fractions"] is fractions
