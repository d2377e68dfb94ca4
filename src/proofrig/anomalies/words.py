"""What a model is told about its loop or flood: what repeats, how often, what to do instead."""

from __future__ import annotations

from proofrig.anomalies.floods import Flood
from proofrig.anomalies.loops import Loop


def loop_says(loop: Loop, count: int) -> str:
    """A loop for the model that is in it, `count` calls or rounds long."""
    names = [name.partition(".")[2] or name for name in loop.names]
    what, many = " and ".join(dict.fromkeys(names)), ", ".join(names)
    if loop.kind == "repeat":
        return (
            f"{what} was called {count} times in a row with the same arguments and gave the same "
            "result each time. Calling it again will not change it: use the result you have, "
            "change the arguments, or finish with what you know and say what is missing."
        )
    if loop.kind == "ping_pong":
        return (
            f"The calls {many} were made {count} times in turn with the same arguments and gave "
            "the same results each time. Going round again will not change them: decide with what "
            "you have, try another way, or finish and say what is missing."
        )
    if loop.kind == "retry":
        return (
            f"{what} was called {count} times with the same arguments and failed in the same way "
            "each time. Do not try it again: read its error, change the arguments, use another "
            "tool, or finish and say that it failed."
        )
    if loop.kind == "no_progress":
        return (
            f"The last {count} calls ({many}) all came to the same, which is nothing new. More "
            "like them will not help: go at it in another way, or finish with what you know and "
            "say what is missing."
        )
    return (
        f"{what} was asked the same {count} times in a row. Wait longer before you ask again, do "
        "something else meanwhile, or finish and say what you were waiting for."
    )


def flood_says(flood: Flood) -> str:
    """A flood for the model that causes it."""
    usual = f"{flood.usual:,.0f}" if flood.usual else "next to none"
    return (
        f"This run makes {flood.per_minute:,.0f} {flood.of} per minute; its usual pace is {usual}. "
        if flood.of == "calls"
        else f"This run uses {flood.per_minute:,.0f} tokens per minute; its usual pace is {usual}. "
    ) + "Slow down: make only the calls that the task still needs, and do them in larger pieces."
