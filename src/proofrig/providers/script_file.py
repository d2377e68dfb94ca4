"""A script read from YAML, every problem with its file, line and column."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from proofrig.errors import Problem, SuiteError, UsageError
from proofrig.problems import Origin, problems_of
from proofrig.providers.script import Script, ScriptText
from proofrig.yaml12 import parse


def load_script(path: Path) -> Script:
    """The script in a file. Raises `SuiteError` with all that is wrong with it."""
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"expected a script, got: {error.strerror}"
        raise SuiteError([Problem(message, str(path))]) from None
    return parse_script(text, str(path))


def parse_script(text: str | bytes, name: str = "script") -> Script:
    """The script in a text. Raises `SuiteError`."""
    document = parse(text, name)
    try:
        return Script(ScriptText.model_validate(document.value))
    except ValidationError as error:
        schema = ScriptText.model_json_schema()
        found = problems_of(error, schema, document.value, Origin(document))
        raise SuiteError(found) from None
    except UsageError as error:
        raise SuiteError([Problem(str(error), name)]) from None
