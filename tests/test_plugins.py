"""Members of other packages: each test writes a tiny installed package and lists what is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.errors import UsageError
from proofrig.plugins import Member, find

OWN = {"exact": "proofrig.verifiers.exact:Exact"}
GOOD = """
from typing import Literal
from proofrig.verifiers.verifier import Evidence, Verdict, Verifier

class Polite(Verifier):
    type: Literal["polite"] = "polite"
    word: str = "please"

    def verify(self, evidence: Evidence) -> Verdict:
        passed = self.word in evidence.answer
        return self.verdict(passed, expected=self.word, got=evidence.answer)

class Misnamed(Verifier):
    type: Literal["other"] = "other"

class Stranger:
    pass
"""


def install(site: Path, package: str, points: str, code: str = GOOD) -> None:
    """A package as an installer leaves it: a module, and metadata with entry points."""
    (site / f"{package}.py").write_text(code)
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[proofrig.verifiers]\n{points}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_without_other_packages_the_own_members_are_all(site: Path) -> None:
    (member,) = find("verifiers", OWN).values()
    assert member == Member("verifiers", "exact", OWN["exact"], "proofrig")
    assert member.load().__name__ == "Exact"
    assert find("no_such_family", {}) == {}


def test_another_package_adds_a_member_and_is_not_imported_for_it(site: Path) -> None:
    install(site, "acme_checks", "polite = acme_checks:Polite", code="raise RuntimeError('loud')")
    members = find("verifiers", OWN)
    assert list(members) == ["exact", "polite"]
    assert members["polite"].origin == "acme_checks 1.0"
    assert "acme_checks" not in sys.modules


@pytest.mark.parametrize("name", ["exact", "polite"])
def test_a_name_that_is_claimed_twice_is_refused_and_both_are_named(name: str, site: Path) -> None:
    install(site, "acme_one", f"{name} = acme_one:Polite")
    install(site, "acme_two", "polite = acme_two:Polite")
    own = OWN if name == "exact" else {}
    if name == "exact":
        first, second = "proofrig.verifiers.exact:Exact", "acme_one:Polite"
    else:
        first, second = "acme_one:Polite", "acme_two:Polite"
    with pytest.raises(UsageError, match="claimed twice") as caught:
        find("verifiers", own)
    assert str(caught.value).index(first) < str(caught.value).index(second)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("acme_gone:Polite", "ModuleNotFoundError"),
        ("acme_checks:Absent", "AttributeError"),
        ("acme_broken:Polite", "ZeroDivisionError"),
    ],
)
def test_a_member_that_cannot_be_loaded_names_its_package(
    target: str, says: str, site: Path
) -> None:
    install(site, "acme_checks", f"polite = {target}")
    (site / "acme_broken.py").write_text("1 / 0")
    with pytest.raises(UsageError, match=says) as caught:
        find("verifiers", OWN)["polite"].load()
    assert "acme_checks 1.0" in str(caught.value)
    sys.modules.pop("acme_checks", None)


def fresh(site: Path, code: str) -> str:
    """What a fresh interpreter that sees the packages in `site` prints."""
    code = f"import sys; sys.path.insert(0, {str(site)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_foreign_verifier_joins_the_union_that_suites_are_read_with(site: Path) -> None:
    install(site, "acme_checks", "polite = acme_checks:Polite")
    code = (
        "from pydantic import TypeAdapter\n"
        "from proofrig.verifiers import AnyVerifier, Evidence, judge\n"
        "written = [{'type': 'polite', 'word': 'thanks'}, {'type': 'exact', 'value': 'thanks'}]\n"
        "for one in TypeAdapter(list[AnyVerifier]).validate_python(written):\n"
        "    print(one.type, judge(one, Evidence(answer='many thanks')).passed)\n"
    )
    assert fresh(site, code).split("\n")[:2] == ["polite True", "exact False"]


@pytest.mark.parametrize(
    ("point", "says"),
    [
        ("polite = acme_checks:Misnamed", "expected `type: Literal['polite']`"),
        ("polite = acme_checks:Stranger", "expected a subclass of proofrig.verifiers.Verifier"),
    ],
)
def test_a_foreign_verifier_must_be_one(point: str, says: str, site: Path) -> None:
    install(site, "acme_checks", point)
    assert says in fresh(site, "from proofrig.verifiers import VERIFIERS")
