"""Whatever a run does: the ladder is climbed step by step, and news are never denied."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from proofrig.anomalies.ladder import STEPS, Watch
from proofrig.anomalies.settings import Done, State

MS = 1_000_000
STATES: tuple[State, ...] = ("ok", "failed", "refused")

# name, arguments, result, state, milliseconds taken, milliseconds since the call before
call = st.tuples(
    st.sampled_from(["tool.search", "tool.note", "llm.messages"]),
    st.sampled_from(["p", "q"]),
    st.sampled_from(["x", "y", ""]),
    st.sampled_from(STATES),
    st.integers(0, 3000),
    st.integers(0, 50),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(call, st.integers(1, 12)), max_size=30))
def test_steps_come_in_order_and_a_stopped_run_stays_so(
    script: list[tuple[tuple[str, str, str, State, int, int], int]],
) -> None:
    watch, now, stopped = Watch(), 0, False
    climbed: dict[str, int] = {}  # kind -> steps that its latest anomaly has come
    for (name, arguments, result, state, takes, pause), times in script:
        for _ in range(times):
            now += pause * MS
            step = watch.seen(name, arguments, now)
            if stopped:
                assert step is not None
                assert (step.step, step.first) == ("stop", False)
                continue
            if step is not None and step.first:
                if step.step == "warn":
                    climbed[step.kind] = 0
                assert STEPS.index(step.step) == climbed[step.kind]
                climbed[step.kind] += 1
                stopped = step.step == "stop"
            if step is None or step.step == "warn":
                began, now = now, now + takes * MS
                watch.ended(Done(name, arguments, result, began, now, state))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(0, 2000))
def test_calls_that_are_all_news_are_never_held_up(names: list[int], takes: int) -> None:
    watch, now = Watch(), 0
    for number, name in enumerate(names):
        assert watch.seen(f"tool.{name}", f"{number}", now) is None
        began, now = now, now + takes * MS
        watch.ended(Done(f"tool.{name}", f"{number}", f"result {number}", began, now))
