"""What a program needs to be shown to a box."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from proofrig.sandboxes.programs import needed_by, outermost


def test_an_interpreter_tells_what_it_is_made_of() -> None:
    found = needed_by(sys.executable)
    assert {sys.prefix, sys.base_prefix} <= found
    assert os.path.dirname(os.__file__) in found


def test_folders_that_hold_what_is_to_stay_apart_are_left_out() -> None:
    inside = os.path.join(sys.base_prefix, "suite")
    assert sys.base_prefix not in needed_by(sys.executable, apart=inside)
    assert sys.base_prefix in needed_by(sys.executable, apart="/elsewhere/suite")


def test_of_any_other_program_its_file_and_what_its_link_leads_to(tmp_path: Path) -> None:
    program, link = tmp_path / "tool.sh", tmp_path / "link"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    link.symlink_to(program)
    assert needed_by(str(link)) == {str(link), str(program)}
    assert needed_by(str(tmp_path / "none")) == set()
    assert needed_by("no-such-program-anywhere") == set()


def test_what_lies_in_another_or_in_every_box_is_not_named_twice() -> None:
    given = ["/opt/a/b", "/opt/a", "/opt/ab", "/usr/lib/python3", "/srv"]
    assert outermost(given) == ["/opt/a", "/opt/ab", "/srv"]
