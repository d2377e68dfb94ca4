"""`proofrig cassette`: what was changed in a recording, and taking it as it is."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from cassette_tapes import call, chat, recorded, says
from proofrig.cassettes.cassette import load
from proofrig.cli.cassette import command
from proofrig.errors import SuiteError, UsageError


def do(*words: str, root: Path) -> Result:
    return CliRunner().invoke(command, [*words, "--root", str(root)], standalone_mode=False)


async def test_a_recording_that_nobody_changed(tmp_path: Path) -> None:
    given = [(call(chat("hi")), says({"key": "sk-proj-abcdEFGH1234567890"}))]
    await recorded(tmp_path / "tape", given)
    found = do("check", str(tmp_path / "tape"), root=tmp_path)
    assert found.exception is None
    assert "1 exchanges" in found.output or "1 exchange" in found.output
    assert "1 openai-key" in found.output
    assert "0 exchanges had changed" in do("seal", str(tmp_path / "tape"), root=tmp_path).output


async def test_an_edit_is_named_and_can_be_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "tape"
    await recorded(folder, [(call(chat("hi")), says({"n": 41})), (call(chat("ho")), says())])
    path = folder / "exchanges.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":41', b'"n":42'))
    refused = do("check", str(folder), root=tmp_path)
    assert isinstance(refused.exception, SuiteError)
    assert "response.n is not as it was recorded" in str(refused.exception)
    assert "sealed; 1 exchange had changed" in do("seal", str(folder), root=tmp_path).output
    cassette = load(folder)
    assert cassette.response(cassette.exchanges[0]) == b'{"n":42}'


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    assert isinstance(do("check", "last", root=tmp_path).exception, UsageError)
    assert isinstance(do("seal", "last", root=tmp_path).exception, UsageError)
