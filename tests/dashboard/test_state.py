"""When figures count as live, stale and stuck."""

from __future__ import annotations

import pytest

from rtrec.dashboard.state import Level, Reading, starting_status
from rtrec.engine.status import Phase, Status


def reading(phase: Phase, age_s: float = 0.0, problem: str = "", waiting: int = 1) -> Reading:
    status = Status(phase=phase, message="", events=5, logged=5 + waiting)
    return Reading(status=status, age_s=age_s, problem=problem)


@pytest.mark.parametrize(
    ("age_s", "level"),
    [(0.0, Level.GOOD), (10.0, Level.GOOD), (10.1, Level.STALE), (60.0, Level.STALE), (60.1, Level.STUCK)],
)
def test_a_running_engine_turns_amber_then_red_with_the_age_of_its_data(age_s, level):
    assert reading(Phase.RUNNING, age_s).level is level


@pytest.mark.parametrize(("age_s", "level"), [(10.0, Level.GOOD), (10.1, Level.QUIET), (600.0, Level.QUIET)])
def test_an_engine_with_nothing_left_to_learn_is_quiet(age_s, level):
    assert reading(Phase.RUNNING, age_s, waiting=0).level is level


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RECOVERING, Phase.FINISHED, Phase.STOPPED])
def test_only_a_running_engine_goes_stale(phase):
    assert reading(phase, age_s=1000.0).level is Level.IDLE


def test_a_failed_or_unreadable_run_is_red_at_once():
    assert reading(Phase.FAILED).level is Level.STUCK
    assert reading(Phase.RUNNING, problem="no answer").level is Level.STUCK


def test_before_a_run_there_is_a_starting_state():
    first = Reading()
    assert first.status.phase is Phase.STARTING
    assert not first.has_begun
    assert starting_status("Loading").message == "Loading"
