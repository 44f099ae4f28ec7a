"""The demo's stream: warm history, a pace, then a drift; and its port."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from rtrec.cli.demo import DRIFT_AT, EVENTS_PER_S, WARM_HISTORY, make_stream
from rtrec.cli.watch import Page
from rtrec.errors import InputError


def test_the_demo_has_titles_a_pace_and_a_drift_behind_its_warm_history():
    feed, titles, speed = make_stream()
    assert titles["item-0000"] != titles["item-1500"]  # which is yet to be born
    first = next(
        iter(feed.start(0, speed=None, n_more=1000, counts={}, recent_ids=(), watermark={}, sleep=bool))
    )
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
