"""A run that is watched: what is said before each of its calls."""

from __future__ import annotations

from anomalies.calls import MS, Calls
from proofrig.anomalies.ladder import Step, Watch
from proofrig.anomalies.settings import Settings

SECOND = 1_000_000_000


class Run:
    """A run that asks before each call, and makes it unless it may not."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.calls = Calls()
        self.watch = Watch(settings or Settings())
        self.made = 0

    def call(
        self, name: str = "search", arguments: str = "q", result: str = "same", **how: object
    ) -> Step | None:
        empty = bool(how.pop("empty", False))
        step = self.watch.seen(f"tool.{name}", arguments, round(self.calls.now * MS))
        if step is None or step.step == "warn":
            self.made += 1
            done = self.calls.call(name, arguments, result, **how)  # type: ignore[arg-type]
            self.watch.ended(done, empty=empty)
        return step

    def think(self) -> None:
        self.watch.ended(self.calls.model())


def told(steps: list[Step | None]) -> list[str]:
    """warn, deny, stop, in capitals when it is the first time; - where nothing was said."""
    return [
        "-" if step is None else step.step.upper() if step.first else step.step for step in steps
    ]


def test_a_repeat_is_warned_of_then_denied_then_stopped() -> None:
    run = Run()
    steps = []
    for _ in range(12):
        run.think()
        steps.append(run.call())
    assert told(steps) == [*"---", "WARN", "-", "DENY", "deny", "deny", "STOP", *["stop"] * 3]
    assert [step.count for step in steps if step] == [3, 5, 6, 7, 8, 8, 8, 8]
    assert {step.kind for step in steps if step} == {"repeat"}
    assert run.made == 5, "what was denied was not done"


def test_a_run_that_is_stopped_stays_so() -> None:
    run = Run()
    for _ in range(9):
        run.call()
    step = run.call("other", "else")
    assert step is not None
    assert (step.step, step.first) == ("stop", False)


def test_doing_something_else_ends_it() -> None:
    run = Run()
    for _ in range(6):
        run.call()
    assert run.call("other", "else", "news") is None
    steps = [run.call() for _ in range(6)]
    assert told(steps) == [*"---", "WARN", "-", "DENY"], "and the next time it begins anew"


def test_another_call_is_let_through_while_one_is_denied() -> None:
    run = Run()
    for _ in range(5):
        run.call()
    assert told([run.call()]) == ["DENY"]
    assert told([run.call(arguments="another question", result="another page")]) == ["-"]


def test_denied_calls_of_one_turn_count_once() -> None:
    run = Run()
    for _ in range(5):
        run.call()
    asked = [run.watch.seen("tool.search", "q", 10**12, turn="a1") for _ in range(9)]
    assert told(asked) == ["DENY", *["deny"] * 8]
    assert asked[-1] is not None
    assert asked[-1].count == 6


def test_a_poller_whose_result_changes_is_let_be() -> None:
    run = Run()
    assert told([run.call("status", "7", f"{n} %") for n in range(59)]) == ["-"] * 59


def test_ping_pong() -> None:
    run = Run()
    steps = []
    for _ in range(20):
        for name in ("open", "close"):
            steps.append(run.call(name, "door", name))
    assert [one for one in told(steps) if one.isupper()] == ["WARN", "DENY", "STOP"]
    assert {step.kind for step in steps if step} == {"ping_pong"}
    first = next(step for step in steps if step)
    assert first.count == 3
    assert "open, close" in first.says


def test_no_progress_is_denied_by_name_and_ends_with_another_tool() -> None:
    run = Run()
    steps = []
    for n in range(13):
        run.think()
        steps.append(run.call(arguments=f"word {n}", result="[]", empty=True))
    assert told(steps) == [*["-"] * 8, "WARN", *["-"] * 3, "DENY"]
    assert run.call("ask_the_user", "what now?", "look in the archive") is None
    assert run.call(arguments="archive", result="found") is None


def test_no_step_is_left_out() -> None:
    """Also where twenty calls were made before anybody asked."""
    run = Run()
    for _ in range(20):
        run.watch.ended(run.calls.call("search", "q"))
    assert told([run.call() for _ in range(3)]) == ["WARN", "DENY", "STOP"]


def test_a_flood_slows_down_or_is_stopped() -> None:
    def flooding(backs_off: bool) -> list[str]:
        run = Run()
        steps: list[Step | None] = []
        for n in range(24):
            run.calls.now = n * 5000.0
            run.call("note", f"slow {n}", f"{n}")
        for n in range(2500):
            run.calls.now += 40
            step = run.call("ping", f"{n}", f"{n}")
            steps.append(step)
            if backs_off and step is not None and step.step == "deny":
                run.calls.now += 20_000
        return [one for one in told(steps) if one.isupper()]

    assert flooding(backs_off=False) == ["WARN", "DENY", "STOP"]
    assert set(flooding(backs_off=True)) == {"WARN", "DENY"}


def test_a_flood_is_told_in_calls_per_minute() -> None:
    run = Run()
    for n in range(12):
        run.calls.now = n * 5000.0
        run.call("note", f"{n}", f"{n}")
    said = None
    for n in range(1000):
        run.calls.now += 40
        said = said or run.call("ping", f"{n}", f"{n}")
    assert said is not None
    assert (said.kind, said.step, said.first) == ("flood", "warn", True)
    assert "its usual pace is 12" in said.says


def test_the_model_is_told_what_repeats_how_often_and_what_to_do() -> None:
    run = Run()
    steps = [run.call() for _ in range(9)]
    warn, deny, stop = (step.says for step in steps if step is not None and step.first)
    assert warn == (
        "search was called 3 times in a row with the same arguments and gave the same result each "
        "time. Calling it again will not change it: use the result you have, change the arguments, "
        "or finish with what you know and say what is missing."
    )
    assert deny.endswith("This call was refused, and so will be the next one like it.")
    assert stop.endswith("The run is stopped.")
