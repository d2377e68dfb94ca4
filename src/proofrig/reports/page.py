"""The parts of HTML pages: templates, and the style sheets and scripts that are put into them."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

_FOLDER = Path(__file__).parent / "templates"


def template(name: str) -> jinja2.Template:
    """A template that escapes all it is given, and refuses names it does not know."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)


def read(*names: str) -> Markup:
    """The text of files beside the templates, as it is."""
    return Markup("".join((_FOLDER / name).read_text() for name in names))
