"""What an agent says of the tool results it uses: which it took, which it gave up.

Standard library only, Python 3.9+. A call is named by its action id, or by the id that the model
gave it.
"""

from __future__ import annotations

from typing import Any

from proofrig.observers.recorder import RECORDER, Recorder


def accepted(
    call: str,
    *,
    given_as: str = "",
    version: int | None = None,
    recorder: Recorder = RECORDER,
) -> None:
    """The result of `call` entered the agent's context; `given_as` is the call it was taken for,
    where that is another; `version` is the result's own, where it has one."""
    attrs: dict[str, Any] = {"call": call}
    if given_as and given_as != call:
        attrs["given_as"] = given_as
    if version is not None:
        attrs["version"] = version
    recorder.note("accepted", attrs)


def superseded(call: str, *, by: str = "", recorder: Recorder = RECORDER) -> None:
    """`call` was given up, or asked again as the call `by`: its result is no longer wanted."""
    recorder.note("superseded", {"call": call, "by": by} if by else {"call": call})
