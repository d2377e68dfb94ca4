"""Spans of time, as (start, end) in minutes of a day; the end is not part of a span."""


def merged(spans):
    """The spans in order, those that overlap or touch made one."""
    found = []
    for start, end in spans:
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
