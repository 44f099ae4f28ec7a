"""One reader for all pages."""

from __future__ import annotations

import threading
import time

import pytest
from structlog.testing import capture_logs

from rtrec.dashboard.store import RunStore
from rtrec.engine.status import Phase
from rtrec.errors import DeploymentError
from tests.dashboard.scripted_run import DRIFT_AT, ScriptedRun


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_reading_holds_status_curves_users_and_changes():
    run = ScriptedRun(tested=4_000)
    run.apply({"ring_length": 20})
    reading = RunStore(run).read()
    assert reading.status.events == 4_000
    assert len(reading.curves) == 4
    assert reading.users[0] == "u1"
    assert reading.changes[0].changes == {"ring_length": 20}
    assert len(reading.pulse) == 1


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RECOVERING])
def test_a_run_that_is_started_again_shows_the_curves_it_had(phase):
    reading = RunStore(ScriptedRun(tested=4_000, phase=phase)).read()
    assert len(reading.curves) == 4
    assert reading.users == ()  # there is nobody yet to ask
    assert len(RunStore(ScriptedRun(phase=phase)).read().curves) == 0


def test_age_grows_while_nothing_is_learned_and_starts_again_with_the_next_event(clock):
    run = ScriptedRun(tested=1_000)
    store = RunStore(run, clock=clock)
    assert store.read().age_s == 0.0
    clock.seconds += 12.0
    assert store.read().age_s == 12.0
    run.advance(1)
    assert store.read().age_s == 0.0


def test_silence_grows_while_the_run_says_nothing_new(clock, monkeypatch):
    run = ScriptedRun(tested=1_000)
    store = RunStore(run, clock=clock)
    said = run.status()
    monkeypatch.setattr(run, "status", lambda: said)
    store.read()
    clock.seconds += 12.0
    assert store.read().silent_s == 12.0
    monkeypatch.undo()
    assert store.read().silent_s == 0.0


def test_a_phase_is_timed_from_when_it_was_first_seen(clock):
    run = ScriptedRun(phase=Phase.STARTING)
    store = RunStore(run, clock=clock)
    clock.seconds += 7.0
    assert store.read().phase_s == 7.0
    run.phase = Phase.RUNNING
    assert store.read().phase_s == 0.0
    clock.seconds += 2.0
    assert store.read().phase_s == 2.0


def test_the_pulse_gets_one_sample_a_second(clock):
    store = RunStore(ScriptedRun(tested=10, step=1), clock=clock)
    for _ in range(8):
        store.read()
        clock.seconds += 0.25
    assert len(store.state.reading.pulse) == 2


def test_history_is_read_only_when_something_was_tested(clock, monkeypatch):
    run = ScriptedRun(tested=1_000)
    read = []
    history = run.history
    monkeypatch.setattr(run, "history", lambda: read.append(1) or history())
    store = RunStore(run, clock=clock)
    for _ in range(3):
        store.read()
        clock.seconds += 5.0
    assert len(read) == 1
    run.advance(10)
    store.read()
    assert len(read) == 2


def test_an_unreadable_run_keeps_the_last_figures_and_says_why(clock):
    run = ScriptedRun(tested=1_000)
    store = RunStore(run, clock=clock)
    store.read()
    run.broken = "no route to the scheduler"
    clock.seconds += 3.0
    reading = store.read()
    assert "no route to the scheduler" in reading.problem
    assert reading.status.events == 1_000
    assert reading.age_s == 3.0
    run.broken = ""
    assert store.read().problem == ""


def test_pages_have_a_starting_state_until_the_factory_returns(until):
    gate = threading.Event()

    def start() -> ScriptedRun:
        gate.wait(10.0)
        return ScriptedRun(tested=2_000)

    store = RunStore(start, interval_s=0.01)
    store.start()
    try:
        until(lambda: store.state.reading.phase_s > 0)
        assert store.state.reading.status.phase is Phase.STARTING
        with pytest.raises(DeploymentError, match="still starting"):
            _ = store.run
        gate.set()
        until(lambda: store.state.reading.status.phase is Phase.RUNNING)
        assert store.run is not None
    finally:
        gate.set()
        store.stop()


def test_a_run_that_cannot_start_is_shown_as_failed(until):
    def start() -> ScriptedRun:
        raise DeploymentError("deployments/demo is locked by process 4711")

    store = RunStore(start, interval_s=0.01)
    store.start()
    try:
        until(lambda: store.state.reading.status.phase is Phase.FAILED)
        assert "locked by process 4711" in store.state.reading.status.message
        with pytest.raises(DeploymentError, match="locked by process 4711"):
            _ = store.run
    finally:
        store.stop()


def test_the_thread_reads_on_by_itself_and_stops(until):
    store = RunStore(ScriptedRun(step=100), interval_s=0.01)
    store.start()
    until(lambda: store.state.reading.status.events > 300)
    store.stop()
    stopped_at = store.state.reading.status.events
    time.sleep(0.1)  # ten readings' worth
    assert store.state.reading.status.events == stopped_at


def test_one_bad_watcher_does_not_stop_the_reader(until):
    store = RunStore(ScriptedRun(step=100), interval_s=0.01)

    def fail(*_: object) -> None:
        raise AttributeError("'DocumentCallbackManager' object has no attribute '_session_callbacks'")

    store.state.param.watch(fail, "reading")
    with capture_logs() as said:
        store.start()
        try:
            until(lambda: store.state.reading.status.events > 300)
        finally:
            store.stop()
    assert [each["event"] for each in said] == [
        "a page could not be told of a reading"
    ]  # once, not each time


def test_the_alarm_of_the_drift_reaches_the_reading():
    reading = RunStore(ScriptedRun(tested=DRIFT_AT + 5_000)).read()
    assert [alarm.kind for alarm in reading.status.alarms] == ["improvement", "accuracy"]
