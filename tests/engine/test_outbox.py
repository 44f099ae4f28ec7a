"""Lists for a sink: who waits, who is dropped, what a restart makes up for, and that nobody is held up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from rtrec.engine import outbox as outbox_module
from rtrec.engine.outbox import Outbox
from rtrec.errors import DeploymentError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import EVENT_SCHEMA


def events(*users: str) -> pa.Table:
    n = len(users)
    times = [datetime(2024, 5, 1, tzinfo=UTC)] * n
    columns = [[f"e{user}" for user in users], users, ["i"] * n, times, ["view"] * n, [None] * n, [None] * n]
    return pa.table(columns, schema=EVENT_SCHEMA)


class Sink:
    """Takes lists, or does not."""

    name = "sink lists"

    def __init__(self) -> None:
        self.users: list[str] = []
        self.fault: Exception | None = None
        self.closed = False

    def deliver(self, lists: Sequence[Mapping[str, Any]]) -> None:
        if self.fault is not None:
            raise self.fault
        self.users += [each["user_id"] for each in lists]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def log(tmp_path):
    log = EmbeddedLog(tmp_path / "log.sqlite", partitions=2)
    yield log
    log.close()


def make(log: EmbeddedLog, sink: Sink, **options: Any) -> Outbox:
    """Return an outbox for a log all of which is learned."""

    async def lists(users: Sequence[str]) -> list[dict[str, Any]]:
        return [{"user_id": user} for user in users]

    options = {"ends": log.ends, "lists": lists, "is_idle": lambda: True} | options
    return Outbox(sink, log, **options)


def after(outbox: Outbox, *happenings: Callable[[], object], steps: int = 1) -> Outbox:
    """Resume an outbox, then let things happen, with some steps behind each."""

    async def live() -> None:
        await outbox.resume()
        for happen in happenings:
            happen()
            for _ in range(steps):
                await outbox.step()

    asyncio.run(live())
    return outbox


def test_who_had_events_gets_a_list_each_once(log, sink):
    log.append([events("early"), events()])  # before there was a sink

    outbox = after(make(log, sink), lambda: log.append([events("a", "b", "a"), events("c")]))

    assert sink.users == ["b", "a", "c"]
    assert (outbox.delivery.delivered, outbox.delivery.waiting, outbox.delivery.dropped) == (3, 0, 0)


def test_nothing_is_made_while_events_wait_to_be_learned(log, sink):
    idle: list[bool] = [False]
    outbox = make(log, sink, is_idle=lambda: idle[0])

    after(outbox, lambda: log.append([events("a"), events("b")]))
    assert (sink.users, outbox.delivery.waiting) == ([], 2)

    idle[0] = True
    asyncio.run(outbox.step())
    assert (sink.users, outbox.delivery.waiting) == (["a", "b"], 0)


def test_beyond_a_bound_those_who_have_waited_longest_are_dropped_and_counted(log, sink):
    outbox = make(log, sink, is_idle=lambda: False, most_waiting=2)

    after(
        outbox,
        lambda: log.append([events("a", "b"), events()]),
        lambda: log.append([events("a", "c"), events()]),
    )

    assert (outbox.delivery.waiting, outbox.delivery.dropped) == (2, 1)
    outbox._is_idle = lambda: True
    asyncio.run(outbox.step())
    assert sink.users == ["a", "c"], "b had waited longest when c came: a was seen again"


def test_what_a_sink_does_not_take_is_tried_again_and_told(log, sink):
    """In the task of its own that a run has: it goes on whatever is raised there."""

    async def live() -> None:
        outbox = make(log, sink)
        await outbox.start()
        sink.fault = DeploymentError("the broker is away")
        log.append([events("a"), events()])
        await until(lambda: outbox.delivery.problem == "the broker is away")
        assert outbox.delivery.waiting == 1
        sink.fault = None
        await until(lambda: sink.users == ["a"])
        await outbox.stop()
        assert (outbox.delivery.problem, sink.closed) == ("", True)

    asyncio.run(live())


def test_a_sink_that_hangs_is_told_of_and_holds_up_neither_the_end_nor_the_process(log, sink, monkeypatch):
    monkeypatch.setattr(outbox_module, "_HANGS_S", 0.05)
    monkeypatch.setattr(outbox_module, "_CLOSE_S", 0.05)
    back = threading.Event()
    sink.deliver = sink.close = lambda *_: back.wait(60)

    async def live() -> None:
        outbox = make(log, sink)
        await outbox.start()
        log.append([events("a", "b"), events("c")])
        await until(lambda: "has not come back for 0.05 s" in outbox.delivery.problem)
        assert (outbox.delivery.waiting, outbox.delivery.delivered) == (3, 0)
        await asyncio.wait_for(outbox.stop(drain_s=0.05), 20)

    asyncio.run(live())  # which waits for the threads of the loop's pool
    assert all(each.daemon for each in threading.enumerate() if each.name == "rtrec-aside")
    back.set()
    again = Sink()
    after(make(log, again), lambda: None)
    assert again.users == ["a", "b", "c"]


def test_a_sink_that_comes_back_goes_on_where_it_was(log, sink, monkeypatch):
    monkeypatch.setattr(outbox_module, "_HANGS_S", 0.05)
    back, deliver = threading.Event(), sink.deliver
    sink.deliver = lambda lists: (back.wait(60), deliver(lists))

    async def live() -> None:
        outbox = make(log, sink)
        await outbox.start()
        log.append([events("a"), events("b")])
        await until(lambda: bool(outbox.delivery.problem))
        log.append([events("c"), events()])
        back.set()
        await until(lambda: outbox.delivery.delivered == 3)
        assert (sink.users, outbox.delivery.problem) == (["a", "b", "c"], "")
        await outbox.stop()

    asyncio.run(live())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


def test_a_restart_makes_up_for_what_was_not_delivered(log, sink):
    """Three of forty wait when the run is killed; the next makes lists from where the first of them came."""
    idle = [True, False]
    outbox = make(log, sink, is_idle=lambda: idle.pop(0) if idle else False)
    after(
        outbox,
        lambda: log.append([events(*(f"u{number}" for number in range(40))), events()]),
        lambda: log.append([events("last"), events("other")]),
    )
    assert len(sink.users) == 32
    outbox._note()  # as it does every few seconds
    sink.users.clear()

    resumed = after(make(log, sink), lambda: None, steps=2)

    assert {f"u{number}" for number in range(32, 40)} | {"last", "other"} <= set(sink.users)
    assert resumed.delivery.delivered == 32 + len(sink.users), "counted over all lives"


def test_after_all_is_delivered_a_restart_repeats_nothing(log, sink):
    async def live() -> None:
        outbox = make(log, sink)
        await outbox.start()
        log.append([events("a"), events("b")])
        await outbox.stop(drain_s=10)

    asyncio.run(live())
    assert (sink.users, log.position("sink lists")) == (["a", "b"], {"0": 1, "1": 1})

    after(make(log, sink), lambda: None)
    assert sink.users == ["a", "b"]


def test_after_a_rollback_lists_are_made_anew_and_the_log_takes_nothing_back(log, sink):
    ends = [(1, 1)]
    outbox = make(log, sink, ends=lambda: ends[-1])
    log.append([events("a", "c"), events("b")])

    after(outbox, lambda: ends.append((2, 1)), outbox._note, lambda: ends.append((0, 0)), outbox._note)
    assert log.position("sink lists") == {"0": 2, "1": 1}
    ends.append((2, 1))
    asyncio.run(outbox.step())
    outbox._note()

    assert sink.users == ["c", "a", "c", "b"]
    assert log.position("sink lists") == {"0": 2, "1": 1}
