"""The demo's stream: warm history at once, then a pace, then a drift; and its port."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from rtrec.cli.demo import DRIFT_AT, EVENTS_PER_S, WARM_HISTORY, make_stream
from rtrec.cli.headstart import HeadStart
from rtrec.cli.watch import Page
from rtrec.errors import InputError
from rtrec.events.feeds import STEP_S, SyntheticFeed
from rtrec.events.synthetic import SyntheticStream


class Clock:
    """Remember how long was slept, and end the feed after some sleeps."""

    def __init__(self, n_sleeps: int) -> None:
        self.slept: list[float] = []
        self._n_sleeps = n_sleeps

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return len(self.slept) >= self._n_sleeps


def start(feed, position, clock, *, n_more=None):
    return feed.start(position, speed=1e-6, n_more=n_more, counts={}, recent_ids=(), sleep=clock.sleep)


def test_a_head_start_comes_at_once_and_the_rest_is_paced():
    clock = Clock(3)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    positions = [fed.position for fed in start(feed, 0, clock)]
    # The first row behind the head start is due when the pace begins; the next is years away.
    assert positions == [100, 200, 300, 301]
    assert len(clock.slept) == 3
    assert min(clock.slept) >= STEP_S


def test_started_again_behind_the_head_start_it_is_paced_from_the_first_row():
    clock = Clock(1)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 500, clock)] == [501]


def test_started_again_within_it_the_rest_of_it_comes_at_once():
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 150, Clock(1))] == [250, 350, 351]


def test_a_limit_ends_it_within_the_head_start():
    clock = Clock(1)
    feed = HeadStart(SyntheticFeed(SyntheticStream(), chunk_rows=100), 300)
    assert [fed.position for fed in start(feed, 0, clock, n_more=150)] == [100, 150]
    assert clock.slept == []


def test_the_demo_has_titles_a_pace_and_a_drift_behind_its_warm_history():
    feed, titles, speed = make_stream()
    assert titles["item-0000"] != titles["item-1500"]  # which is yet to be born
    first = next(iter(feed.start(0, speed=None, n_more=1000, counts={}, recent_ids=(), sleep=bool)))
    assert first.events.num_rows == 1000
    # In a day of the stream 20,000 events, at this speed in 20,000 / EVENTS_PER_S seconds.
    assert timedelta(days=1).total_seconds() / speed == pytest.approx(20_000 / EVENTS_PER_S)
    assert WARM_HISTORY < DRIFT_AT
    minutes = (DRIFT_AT - WARM_HISTORY) / EVENTS_PER_S / 60
    assert 2 < minutes < 5
    # A day of showing it does not overtake the wall clock.
    shown = timedelta(days=1) * speed
    assert first.events["timestamp"][0].as_py() + shown < datetime.now(UTC)


def test_a_taken_port_gives_way_to_the_next_free_one(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = Page("127.0.0.1", port, or_next_free=True)
        assert page.port != port
        assert f"Port {port} is taken; the dashboard comes on {page.port}." in capsys.readouterr().err
        with pytest.raises(InputError, match=f"--port {port}: taken"):
            Page("127.0.0.1", port)


def test_port_0_takes_a_free_one():
    assert Page("localhost", 0).port > 0


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", ""])
def test_only_this_machine_is_served(host):
    with pytest.raises(InputError, match="there is no login yet"):
        Page(host, 0)
