"""Out of order: everyone's tool results are disordered, by the run's seed."""

from __future__ import annotations

from proofrig.faults.late_result import LateResult
from proofrig.scenarios.out_of_order import OutOfOrder
from proofrig.services.kv import KvSettings
from proofrig.services.queue import QueueSettings
from scenario_facts import facts, shape, starts


def test_results_of_tools_come_late_twice_and_out_of_order() -> None:
    phases = OutOfOrder(agents=4).phases(facts(seed=3))
    assert shape(phases) == [("disorder", 4, 0, None)]
    assert {start.at_ns for start in starts(phases)} == {0}
    late, swapped, twice = OutOfOrder(rate=0.6, late_s=0.1).all_faults()
    assert [fault.kind for fault in (late, swapped, twice)] == [
        "late_result",
        "reordered_results",
        "duplicate_delivery",
    ]
    assert {round(fault.probability, 9) for fault in (late, swapped, twice)} == {0.2}
    (only,) = OutOfOrder(kinds=("late",), rate=0.5, late_s=0.1).all_faults()
    on = {"at": "tool", "scenario": "out_of_order"}
    assert only == LateResult(by_s=0.1, probability=0.5, on=on)


def test_queues_deliver_twice_and_out_of_order_and_nothing_else_changes() -> None:
    queue = QueueSettings(type="queue", name="work", duplicate_rate=0.1)
    memory = KvSettings(type="kv", name="memory")
    changed, same = OutOfOrder(rate=0.4).services((queue, memory))
    assert (changed.duplicate_rate, changed.reorder) == (0.4, 3)
    assert same is memory
    own = queue.model_copy(update={"duplicate_rate": 0.9, "reorder": 10})
    assert OutOfOrder(rate=0.4).services((own,)) == (own,)
