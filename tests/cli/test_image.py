"""`proofrig image`: what people read of images, and what is said when one is not there."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click import UsageError as Misused
from click.testing import CliRunner, Result

from proofrig.cli.image import Steps, command
from proofrig.errors import SuiteError, UsageError
from proofrig.images.build import INIT
from proofrig.images.recipe import Recipe, digests
from proofrig.images.store import Booted, Built, Store

SUITE = """\
suite: desk
agent: {type: "null"}
sandbox: {image: {packages: [git], requirements: requirements.txt}}
cases: [{id: one, task: Say it., verify: [{type: contains, any: [it]}]}]
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite whose image is built, as far as anybody looks."""
    monkeypatch.setenv("PROOFRIG_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "requirements.txt").write_text("openai>=3\n")
    recipe = Recipe(packages=("git",), requirements="requirements.txt")
    wanted = digests(recipe, folder, INIT.read_bytes())
    built = Built(
        name="desk",
        digest=wanted.image,
        base=wanted.base,
        release="debian-test",
        architecture="amd64",
        built_s=0.0,
        python="3.11",
        asked=["git", "openai>=3"],
        debian={"git": "1:2.39", "libc6": "2.36"},
        packages={"openai": "3.1"},
        warm=["openai"],
        bytes=123_400_000,
    )
    booted = Booted(wanted.boot, "linux-image-6.1 6.1", [], 1)
    for part, digest, name, value in (
        ("images", wanted.image, "image.json", built),
        ("boots", wanted.boot, "boot.json", booted),
    ):
        place = tmp_path / "cache" / part / digest
        place.mkdir(parents=True)
        (place / name).write_bytes(msgspec.json.encode(value))
    return folder


def do(*words: str) -> Result:
    return CliRunner().invoke(command, words, standalone_mode=False)


def test_an_image_that_is_built_is_not_built_again(desk: Path) -> None:
    result = do("build", str(desk))
    assert result.exception is None
    assert result.output.startswith("image ") and "(desk) is in " in result.output
    found = json.loads(do("build", str(desk), "--json").output)
    assert found["name"] == "desk" and Path(found["root"]).name == "root"


def test_a_broken_suite_builds_nothing(desk: Path) -> None:
    text = SUITE.replace("packages: [git]", "packages: [Git]")
    (desk / "suite.yaml").write_text(text)
    assert isinstance(do("build", str(desk)).exception, SuiteError)
    (desk / "suite.yaml").write_text(SUITE)
    (desk / "requirements.txt").unlink()
    assert "requirements.txt" in str(do("build", str(desk)).exception)


def test_images_in_a_table_and_as_json(desk: Path) -> None:
    [row] = [line for line in do("list").output.splitlines() if line.startswith("desk")]
    assert "123 MB" in row and "git, openai>=3" in row and " d " in row
    [image] = json.loads(do("list", "--json").output)
    assert (image["name"], image["bytes"]) == ("desk", 123_400_000)


def test_one_image_by_its_name_or_digest(desk: Path) -> None:
    text = do("show", "desk").output
    assert "openai 3.1" in text and "2 packages" in text and "debian-test amd64" in text
    found = json.loads(do("show", "desk", "--json").output)
    assert found["debian"] == {"git": "1:2.39", "libc6": "2.36"}
    assert do("show", found["digest"][:7]).output == text
    assert isinstance(do("show", "nothing").exception, UsageError)


def test_an_image_is_taken_away(desk: Path) -> None:
    assert "(desk)" in do("remove", "desk").output
    assert do("list").output == "No images yet. Begin with: proofrig image build SUITE\n"
    assert json.loads(do("list", "--json").output) == []
    assert Store().folder.joinpath("boots").exists()
    assert "removed all" in do("remove", "--all").output
    assert sorted(path.name for path in Store().folder.iterdir()) == ["lock"]


@pytest.mark.parametrize("words", [(), ("desk", "--all")], ids=["neither", "both"])
def test_what_to_take_away_must_be_said(desk: Path, words: tuple[str, ...]) -> None:
    assert isinstance(do("remove", *words).exception, Misused)
    assert len(Store().images()) == 1


def test_no_line_for_steps_that_took_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps() as steps:
        steps.begin("wait for nobody")
    assert capsys.readouterr().err == ""
