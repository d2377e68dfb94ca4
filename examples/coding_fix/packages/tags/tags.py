"""Tags of an article."""

NO_TAGS = []


def with_tag(tag, tags=NO_TAGS):
    """The tags and the new one behind them, each once; `tags` itself stays as it is."""
    if tag not in tags:
        tags.append(tag)
    return tags
