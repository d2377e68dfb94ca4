"""Names for addresses of pages."""

import re


def slug(title):
    """Lower-case words of a title, joined by single dashes."""
    return re.sub("[^a-z0-9]", "-", title.lower())
