"""What `proofrig doctor` says of sandboxes: levels run for real, leftovers of a killed runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proofrig.cli.doctor import _try
from proofrig.cli.doctor_sandboxes import CHECKS, clean_up
from proofrig.sandboxes import leftovers, owners
from proofrig.sandboxes.qemu import kvm
from proofrig.sandboxes.sandbox import LEVELS

BY_NAME = {check.name: check for check in CHECKS}
GONE = "4194999-1" + "".join(owners.tag().partition("n")[1:])  # no kernel gives out such a pid


def test_every_level_has_a_check_and_only_process_is_needed() -> None:
    assert {name for name in BY_NAME if name.startswith("sandbox: ")} == {
        f"sandbox: {level}" for level in LEVELS
    }
    needed = [name for name, check in BY_NAME.items() if check.otherwise == "FAIL"]
    assert needed == ["sandbox: process"]


def test_process_boxes_work(tmp_path: Path) -> None:
    row = _try(BY_NAME["sandbox: process"], tmp_path, "")
    assert row.state == "ok", row.found
    assert row.found.startswith("a program ran in a fresh box in ")
    assert row.found.endswith("; limits advisory")


def test_groups_are_shown_or_the_reason_is_told(tmp_path: Path) -> None:
    row = _try(BY_NAME["cgroups"], tmp_path, "")
    said = {"ok": "are enforced", "no": ": "}
    assert said[row.state] in row.found


@pytest.mark.parametrize(
    ("known", "state", "said"),
    [
        (None, "no", "only shown by the first box of vm"),
        ("", "ok", "a guest came up under it"),
        ("it stood still", "no", "so vm is emulated: it stood still"),
    ],
    ids=["not tried", "works", "does not work"],
)
def test_kvm_is_what_a_guest_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: str | None, state: str, said: str
) -> None:
    monkeypatch.setenv("PROOFRIG_CACHE", str(tmp_path))
    if known is not None:
        kvm.remember(tmp_path / "vm", known)
    if why := kvm.refused():
        state, said = "no", why
    row = _try(BY_NAME["kvm"], tmp_path, "")
    assert row.state == state
    assert said in row.found


def test_images_that_are_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFRIG_CACHE", str(tmp_path))
    row = _try(BY_NAME["images"], tmp_path, "")
    assert row.state == "no"
    assert str(tmp_path) in row.found and "`proofrig image build" in row.found


@pytest.mark.parametrize("as_json", [False, True], ids=["person", "program"])
def test_what_was_removed_is_told(
    tmp_path: Path, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / GONE
    left.mkdir()
    assert clean_up(as_json, tmp_path) == 0
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said) == [
            {"kind": "storage", "what": str(left), "owner": GONE, "error": ""}
        ]
    else:
        assert said == f"gone storage      {left}\n"
    assert not left.exists()
    assert clean_up(as_json, tmp_path) == 0
    assert capsys.readouterr().out == ("[]\n" if as_json else "Nothing was left.\n")


def test_leftovers_are_counted_with_the_way_to_remove_them(tmp_path: Path) -> None:
    """In a process of its own: the temporary folder is looked up once in each."""
    folder = tmp_path / leftovers.usual_base().name
    for name in (GONE, GONE.replace("4194999", "4194998")):
        (folder / name).mkdir(parents=True)
    program = (
        "from pathlib import Path; from proofrig.cli.doctor import _try;"
        "from proofrig.cli.doctor_sandboxes import CHECKS; print(*_try(CHECKS[-1], Path(), ''))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.stdout.startswith("leftovers look killed runs left: "), done.stderr
    assert "storage 2; " in done.stdout
    assert done.stdout.endswith("`proofrig doctor --clean`\n")
