"""A tool of the specimens: what is in stock, which falls with every look."""

from itertools import count

__all__ = ["look"]
_left = count(1000, -1)


async def look(item: str) -> str:
    """How many there are of an item."""
    return f"{next(_left)} of {item}"
