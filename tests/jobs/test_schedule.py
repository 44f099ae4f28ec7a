"""A job again and again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.blocking import BlockingScheduler
from structlog.testing import capture_logs

from rtrec.errors import InputError
from rtrec.jobs.schedule import parse_interval, run_every

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class InterruptedScheduler(BlockingScheduler):
    """A scheduler that is interrupted as it starts, so that what was planned can be read."""

    waited: bool | None = None

    def start(self, *args, **kwargs):
        raise KeyboardInterrupt

    def shutdown(self, wait=True):
        self.waited = wait


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        (" 1.5 h ", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
    ],
)
def test_intervals_are_numbers_with_a_unit(text, interval):
    assert parse_interval(text) == interval


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "0s", "0.5s", "1w", "1h30m", "nan h", "9" * 400 + "d"])
def test_what_is_no_interval_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="expected a number and s, m, h or d, for example 30m or 1h"):
        parse_interval(text)


def test_the_first_start_is_now_and_missed_starts_become_one():
    scheduler = InterruptedScheduler(timezone=UTC)
    run_every(timedelta(hours=1), lambda: None, scheduler=scheduler, clock=lambda: NOW)
    (job,) = scheduler.get_jobs()
    assert job.next_run_time == NOW
    assert job.trigger.interval == timedelta(hours=1)
    assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)


def test_an_interrupt_lets_the_call_under_way_finish():
    scheduler = InterruptedScheduler(timezone=UTC)
    run_every(timedelta(hours=1), lambda: None, scheduler=scheduler, clock=lambda: NOW)
    assert scheduler.waited is True


def test_an_action_that_raises_is_logged_and_called_again():
    scheduler = BlockingScheduler(timezone=UTC)
    calls: list[int] = []
    called_twice = threading.Event()

    def action() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise InputError("nothing to report yet")
        called_twice.set()

    def stop() -> None:
        called_twice.wait(20)
        scheduler.shutdown(wait=False)

    watcher = threading.Thread(target=stop)
    watcher.start()
    with capture_logs() as logs:
        run_every(timedelta(seconds=1), action, scheduler=scheduler)
    watcher.join()
    assert len(calls) >= 2
    assert [each["error"] for each in logs if "error" in each] == ["nothing to report yet"]
