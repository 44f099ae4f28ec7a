"""Fixtures of the dashboard's tests: a scripted run, and waiting for what other threads do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from rtrec.dashboard.session import Session
from rtrec.dashboard.store import RunStore
from tests.dashboard.scripted_run import ScriptedRun


@pytest.fixture
def until() -> Callable[..., None]:
    """Return a function that waits until a condition holds, and fails after a deadline."""

    def wait(condition: Callable[[], object], timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "the condition did not hold in time"
            time.sleep(0.02)

    return wait


@pytest.fixture
def scripted_run() -> ScriptedRun:
    return ScriptedRun(tested=70_000)


@pytest.fixture
def session(scripted_run: ScriptedRun) -> Iterator[Session]:
    """Return a session without a document over the scripted run, read once."""
    store = RunStore(scripted_run)
    store.read()
    yield Session(store)
    store.stop()
