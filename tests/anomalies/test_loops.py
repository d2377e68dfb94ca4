"""Calls in, loops out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from anomalies.calls import Calls
from proofrig.anomalies.loops import Loop, Loops
from proofrig.anomalies.settings import Done, Settings


def last(calls: Iterator[Done], **settings: object) -> tuple[str, int, int] | None:
    """Kind, count and level of the loop that a run is in after its last call."""
    loop = walk(calls, Loops(Settings(**settings)))  # type: ignore[arg-type]
    return None if loop is None else (loop.kind, loop.count, loop.level)


def walk(calls: Iterator[Done], loops: Loops) -> Loop | None:
    for done in calls:
        loops.ended(done)
    return loops.now()


def times(n: int, make: Callable[[Calls, int], list[Done]]) -> Iterator[Done]:
    run = Calls()
    for number in range(n):
        yield from make(run, number)


def thought(**how: object) -> Callable[[Calls, int], list[Done]]:
    """A turn of the model, then the same search."""
    return lambda run, _: [run.model(), run.call("search", "q", **how)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "level"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 2), (8, 3), (50, 3)]
)
def test_the_same_call_with_the_same_result_is_a_repeat(n: int, level: int) -> None:
    expected = ("repeat", n, level) if level else None
    assert last(times(n, thought())) == expected
    assert last(times(n, lambda run, _: [run.call("search", "q")])) == expected


def test_another_result_is_news() -> None:
    assert last(times(20, lambda run, n: [run.call("clock", "", f"{n}")])) is None


@pytest.mark.parametrize(("n", "level"), [(59, 0), (60, 1), (120, 2), (240, 3)])
def test_asking_the_same_for_ever_is_polling(n: int, level: int) -> None:
    expected = ("polling", n, level) if level else None
    assert last(times(n, lambda run, n: [run.call("clock", "", f"{n}")])) == expected
    assert last(times(n, lambda run, n: [run.model("the same prompt")])) == expected


def waiting(run: Calls, ms: float) -> list[Done]:
    run.now += ms
    return [run.call("status", "7", "pending")]


def after_a_turn(run: Calls, ms: float) -> list[Done]:
    return [run.model(), *waiting(run, ms)]


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (lambda run, _: waiting(run, 50), "polling"),
        (lambda run, _: waiting(run, 5), "repeat"),
        (lambda run, _: after_a_turn(run, 2000), "polling"),
        (lambda run, _: after_a_turn(run, 500), "repeat"),
        (thought(takes=6000), "polling"),
        (thought(takes=900), "repeat"),
        (lambda run, _: [run.model(), run.call("wait_for", "7", takes=1500)], "polling"),
        (thought(state="refused"), "polling"),
    ],
)
def test_a_run_that_waits_between_equal_calls_is_polling(
    what: Callable[[Calls, int], list[Done]], kind: str
) -> None:
    found = last(times(70, what))
    assert found is not None
    assert found[:2] == (kind, 70)


def test_one_wait_excuses_one_round_and_not_the_others() -> None:
    found = last(times(9, lambda run, n: waiting(run, 50 if n == 4 else 0)))
    assert found == ("repeat", 8, 3)


def test_failing_in_the_same_way_with_pauses_is_a_retry() -> None:
    def failing(run: Calls, n: int) -> list[Done]:
        run.now += 60_000
        return [run.call("deploy", "7", "port in use", state="failed")]

    assert last(times(7, failing)) is None
    assert last(times(16, failing)) == ("retry", 16, 3)


@pytest.mark.parametrize("period", [2, 3])
def test_calls_in_turn_with_the_same_results_are_ping_pong(period: int) -> None:
    names = ["open", "close", "look"][:period]

    def one_round(run: Calls, _: int) -> list[Done]:
        return [done for name in names for done in (run.model(), run.call(name, "d", name))]

    assert last(times(2, one_round)) is None
    loop = walk(times(8, one_round), Loops())
    assert loop is not None
    assert (loop.kind, loop.count, loop.level, loop.period) == ("ping_pong", 8, 3, period)
    assert loop.names == tuple(f"tool.{name}" for name in names)


def test_rounds_with_a_result_that_changes_are_none() -> None:
    def edit_and_test(run: Calls, n: int) -> list[Done]:
        return [run.call("edit", "f", "ok"), run.call("test", "", f"{n} failures")]

    assert last(times(20, edit_and_test)) is None


def test_rounds_in_which_somebody_sleeps_are_polling() -> None:
    def look_and_sleep(run: Calls, _: int) -> list[Done]:
        look = run.call("status", "7", "pending")
        return [run.model(), look, run.model(), run.call("sleep", "5", "ok", takes=5000)]

    assert last(times(30, look_and_sleep)) is None
    assert last(times(60, look_and_sleep)) == ("polling", 60, 1)


def test_calls_at_once_are_one() -> None:
    """Each began before the first had ended; or one turn asked for all of them."""
    overlapping = [Done("tool.roll", "d6", "4", 0, 10 + n) for n in range(20)]
    assert last(iter(overlapping)) is None
    assert last(times(20, lambda run, _: [run.call("roll", "d6", "4", turn="a1")])) is None
    every_turn = times(8, lambda run, n: [run.call("roll", "d6", "4", turn=f"a{n}")] * 3)
    assert last(every_turn) == ("repeat", 8, 3)


def test_batch_work_is_no_loop_however_equal_its_results() -> None:
    rows = times(500, lambda run, n: [run.call("insert", f"{n}", "ok")])
    assert last(rows) is None
    by_turns = times(100, lambda run, n: [run.model(), run.call("insert", f"{n}", "ok")])
    assert last(by_turns) is None
    thrice = times(
        40, lambda run, n: [run.call(name, f"{n}", "ok") for name in ("read", "lint", "save")]
    )
    assert last(thrice) is None


def test_other_words_and_the_same_error_are_no_progress() -> None:
    def guess(run: Calls, n: int) -> list[Done]:
        return [run.model(), run.call("search", f"{n}", "not allowed", state="failed")]

    assert last(times(7, guess)) is None
    assert last(times(8, guess)) == ("no_progress", 8, 1)
    assert last(times(16, guess)) == ("no_progress", 16, 3)
    in_code = times(50, lambda run, n: guess(run, n)[1:])
    assert last(in_code) is None, "nobody looked at the answers in between"


def test_other_words_and_always_an_empty_result_are_no_progress() -> None:
    asked: list[str] = []

    def empty(digest: str) -> bool:
        asked.append(digest)
        return digest == "nothing"

    def search(result: str) -> Iterator[Done]:
        return times(16, lambda run, n: [run.model(), run.call("search", f"{n}", result)])

    found = walk(search("nothing"), Loops(empty=empty))
    assert found is not None
    assert (found.kind, found.level) == ("no_progress", 3)
    assert walk(search("ok"), Loops(empty=empty)) is None
    check = times(50, lambda run, n: [run.model(), run.call("lint", f"{n}", "nothing")])
    assert walk(check, Loops(empty=empty)) is None, "of a check, nothing is good news"
    assert set(asked) == {"nothing", "ok"}
    walk(times(7, lambda run, n: [run.model(), run.call("s", f"{n}", "x")]), Loops(empty=empty))
    assert "x" not in asked, "a result is looked into only once it matters"


def test_the_same_arguments_under_many_names_are_no_progress() -> None:
    named = times(16, lambda run, n: [run.model(), run.call(f"search_{n}", "q", "nope")])
    assert last(named) == ("no_progress", 16, 3)


def test_news_end_a_loop() -> None:
    run, loops = Calls(), Loops()
    for _ in range(6):
        loops.ended(run.call("search", "q"))
    assert loops.now() is not None
    loops.ended(run.call("search", "other", "another page"))
    assert loops.now() is None
    before = walk(times(6, thought()), Loops())
    again = walk(times(6, thought()), loops)
    assert before is not None
    assert again is not None
    assert again.since != before.since, "a new loop, though it is like the one before"


def test_a_turn_of_the_model_ends_no_loop() -> None:
    run, loops = Calls(), Loops()
    for _ in range(4):
        loops.ended(run.call("search", "q"))
    loops.ended(run.model())
    loop = loops.now()
    assert loop is not None
    assert loops.goes_on(loop, "tool.search", "q")
    assert not loops.goes_on(loop, "tool.search", "other")


def test_what_may_repeat_is_not_looked_at() -> None:
    scroll = times(50, lambda run, _: [run.model(), run.call("scroll_down", "", "ok")])
    assert last(scroll, may_repeat=("tool.scroll_*",)) is None


def test_what_is_kept_does_not_grow() -> None:
    run, loops = Calls(), Loops()
    for number in range(5000):
        loops.ended(run.call(f"name{number % 500}", f"{number}", "ok"))
    assert len(loops._ring) == 3
    assert len(loops._barren.by_arguments) <= 64
    assert len(loops._barren.names) <= 8
