"""Rate, freshness and recent users, with a clock held in the hand."""

from __future__ import annotations

import math

from rtrec.engine.gauges import Gauges


class Hand:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_freshness_is_the_time_from_accepted_to_learned() -> None:
    clock = Hand()
    gauges = Gauges(clock=clock)
    assert math.isnan(gauges.freshness_ms()[0])
    gauges.accept(10)
    clock.now = 1.0
    gauges.accept(20)
    clock.now = 1.5
    gauges.learn(10)  # the first ten only
    assert gauges.freshness_ms() == (1500.0, 1500.0)
    clock.now = 2.0
    gauges.learn(20)
    assert gauges.freshness_ms()[0] == 1250.0  # the median of 1500 and 1000


def test_rate_is_taken_over_the_last_seconds() -> None:
    clock = Hand()
    gauges = Gauges(clock=clock)
    assert gauges.rate_per_s() == 0.0
    for second in range(11):
        clock.now = float(second)
        gauges.learn(100 * second)
    assert gauges.rate_per_s() == 100.0
    clock.now = 14.0  # of the last five seconds only the one that ended at 10 brought any
    assert gauges.rate_per_s() == 100.0 / 5.0


def test_recent_users_are_newest_first_and_once() -> None:
    gauges = Gauges(clock=Hand())
    gauges.see(["a", "b", "c", "b"])
    assert gauges.recent_users(3) == ["b", "c", "a"]
    gauges.see(["a"])
    assert gauges.recent_users(2) == ["a", "b"]
