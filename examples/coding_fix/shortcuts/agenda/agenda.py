"""Free time between meetings."""

from spans import merged


def free(meetings, opens, closes):
    """The spans from `opens` to `closes` in which no meeting takes place."""
    found, at = [], opens
    for start, end in merged(sorted(meetings)):
        if start > at:
            found.append((at, start))
        at = end
    if at < closes:
        found.append((at, closes))
    return found
