"""The JSON Schema of a suite file, for editors: `suite.schema.json`, in the repository and wheel.

    python -m proofrig.suites.schema        writes the file again

Rules:
1. The schema is made from the models, never by hand; a test checks that the file is current.
2. It describes what a user may write: short forms included, aliases as written.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from proofrig.suites.suite import Suite

NAME = "suite.schema.json"


def suite_schema() -> dict[str, Any]:
    """The schema of `suite.yaml`; a file of cases is a list of its `$defs/Case`."""
    made = Suite.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "proofrig suite",
        "description": "Cases, the agent they are put to, and the conditions it runs under.",
    }


def schema_text() -> str:
    """The schema as the text of the published file."""
    return json.dumps(suite_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def published() -> str:
    """The text of the file that ships with the package."""
    return (resources.files("proofrig.suites") / NAME).read_text("utf-8")


if __name__ == "__main__":
    Path(__file__).with_name(NAME).write_text(schema_text(), "utf-8")
