"""From a trial's entries to what verifiers may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from proofrig.history.action import Action, Entry
from proofrig.sandboxes.sandbox import Changes
from proofrig.suites import Case, WorldStart
from proofrig.verifiers.verifier import Evidence
from proofrig.wire import CODECS
from proofrig.wire.codec import WireError
from proofrig.wire.trajectory import Call, Trajectory, rebuild
from proofrig.wire.turn import Request, Turn

Payload = Callable[[str], bytes | None]

turn_decoder = msgspec.json.Decoder(Turn)
state_decoder = msgspec.json.Decoder(dict[str, Any])


def exchanges(actions: Iterable[Action], payload: Payload) -> list[tuple[Request, Turn]]:
    """The trial's answered model calls, in the order of their answers."""
    found = []
    for action in actions:
        api = action.name.removeprefix("llm.")
        if api == action.name or api not in CODECS or action.end is None:
            continue
        request, response = (
            payload(action.attr("request", "")),
            payload(action.attr("response", "")),
        )
        if request is None or response is None:
            continue
        try:
            found.append((CODECS[api].decode_request(request), turn_decoder.decode(response)))
        except (WireError, msgspec.DecodeError):
            continue  # a capped payload; the action itself still says what it cost
    return found


def trajectory(actions: Iterable[Action], payload: Payload) -> Trajectory:
    """What the agent did: its model traffic, completed by what the tool gateways saw.

    A tool gateway knows a call's true result and whether it happened at all, so its word wins over
    what the agent told the model; calls that no model asked for are appended.
    """
    actions = list(actions)
    told = rebuild(exchanges(actions, payload))
    calls = list(told.calls)
    by_id = {call.call_id: place for place, call in enumerate(calls) if call.call_id}
    for action in actions:
        if not action.name.startswith("tool.") or action.denied or action.end is None:
            continue
        seen = _seen_call(action, payload)
        place = by_id.get(seen.call_id) if seen.call_id else None
        if place is None:
            calls.append(seen)
        else:
            calls[place] = msgspec.structs.replace(
                calls[place],
                name=seen.name,
                result=seen.result,
                is_error=seen.is_error,
                state="answered",
                source="tool",
            )
    return Trajectory(turns=told.turns, calls=tuple(calls))


def gather(
    case: Case,
    answer: str,
    actions: tuple[Action, ...],
    payload: Payload,
    world: WorldStart,
    *,
    state: Entry | None = None,
    level: str = "process",
    changes: Changes | None = None,
) -> Evidence:
    """What the case's verifiers may look at; the trajectory is built only when one reads it, and
    so is the tools' state, from its note (`state_note`)."""
    needs = frozenset[str]().union(*(verifier.needs() for verifier in case.verify))
    left, no_state = _state(state, payload) if "state" in needs else (None, "")
    return Evidence(
        answer=answer,
        task=case.prompt(),
        world=world.path,
        before=world.before,
        suite_dir=case.dir,
        trajectory=trajectory(actions, payload) if "trajectory" in needs else Trajectory(),
        actions=actions,
        state=left,
        level=level,
        changes=changes,
        context={"initial_sql": world.initial_sql, "no_state": no_state},
        payload=payload,
    )


def state_note(entries: Iterable[Entry]) -> Entry | None:
    """The note of a trial's entries that tells what its tools left, where the case gave a state."""
    notes = [entry for entry in entries if entry.kind == "note" and entry.name == "tool_state"]
    return notes[-1] if notes else None


def miss_of(entries: Iterable[Entry]) -> str:
    """Where a trial first left its recording, in a line; "" where it did not."""
    for entry in entries:
        if entry.kind == "note" and entry.name == "miss":
            return str(entry.attrs.get("says", "the recording holds no answer to what it asked"))
    return ""


def _state(note: Entry | None, payload: Payload) -> tuple[dict[str, Any] | None, str]:
    """The state, or None and why there is none."""
    if note is None:
        return None, "no state was written down: the case gave none when the trial ran"
    if error := note.attrs.get("error"):
        return None, error
    text = payload(note.attrs["state"])
    if text is None:
        return None, "its payload was not kept"
    return state_decoder.decode(text), ""


def _seen_call(action: Action, payload: Payload) -> Call:
    arguments = payload(action.attr("arguments", ""))
    result = payload(action.attr("result", ""))
    return Call(
        name=action.name.removeprefix("tool."),
        arguments=(arguments or b"{}").decode("utf-8", "replace"),
        call_id=action.attr("call_id", ""),
        result=None if result is None else result.decode("utf-8", "replace"),
        is_error=action.outcome != "ok" or bool(action.attr("is_error")),
        state="answered",
        source="tool",
    )
