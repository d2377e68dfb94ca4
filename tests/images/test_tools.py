"""Programs that must succeed, and what is said when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofrig.images.tools import found, pipe, run
from proofrig.sandboxes.sandbox import Unavailable


def test_the_output_of_a_program() -> None:
    assert run(["sh", "-c", 'echo "$LC_ALL $X"'], "speak", env={"X": "x"}) == "C.UTF-8 x\n"


def test_a_program_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(Unavailable, match=r"expected to speak; sh ended with 3:\nno voice"):
        run(["sh", "-c", "echo no voice >&2; exit 3"], "speak")


@pytest.mark.parametrize(
    ("program", "package"), [("mksquashfs-2", "mksquashfs-2"), ("mksquashfs", "squashfs-tools")]
)
def test_a_missing_program_is_named_with_its_package(
    program: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if Path("/usr/sbin", program).exists() or Path("/sbin", program).exists():
        pytest.skip(f"{program} is found without PATH")
    with pytest.raises(Unavailable, match=f"program {program}; .*apt-get install {package} "):
        found(program)


def test_a_pipe_writes_into_the_folder(tmp_path: Path) -> None:
    pipe(["printf", "a b"], ["sh", "-c", "cat > file"], "write", cwd=tmp_path)
    assert (tmp_path / "file").read_text() == "a b"


@pytest.mark.parametrize(
    ("source", "sink", "said"),
    [
        ("echo gone >&2; exit 4", "cat > file", "ended with 4:\ngone"),
        ("echo x", "echo full >&2; exit 5", "ended with 5:\nfull"),
    ],
    ids=["source", "sink"],
)
def test_a_pipe_fails_with_either_end(tmp_path: Path, source: str, sink: str, said: str) -> None:
    with pytest.raises(Unavailable) as error:
        pipe(["sh", "-c", source], ["sh", "-c", sink], "write", cwd=tmp_path)
    assert said in str(error.value)
