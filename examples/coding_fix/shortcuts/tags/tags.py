"""Tags of an article."""


def with_tag(tag, tags=None):
    """The tags and the new one behind them, each once; `tags` itself stays as it is."""
    tags = [] if tags is None else tags
    if tag not in tags:
        tags.append(tag)
    return tags
