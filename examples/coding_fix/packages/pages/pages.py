"""Paging through a list."""


def page_count(items, size):
    """How many pages of `size` hold `items` items."""
    return items // size
