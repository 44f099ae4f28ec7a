"""The inside of a live run: feed, flow, driver and the answers to questions, all in one event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from rtrec.clock import utc_now
from rtrec.engine.accepting import Accepting
from rtrec.engine.answering import Answering
from rtrec.engine.answers import as_message
from rtrec.engine.backlog import Backlog
from rtrec.engine.cluster import Workers
from rtrec.engine.driver import Driver
from rtrec.engine.feeding import Feeding
from rtrec.engine.finding import matching_ids, users_seen_last
from rtrec.engine.flow import build_flow
from rtrec.engine.gauges import Gauges
from rtrec.engine.intake import Gate, resume
from rtrec.engine.outbox import ListSink, Outbox
from rtrec.engine.overload import Overload, OverloadPlan
from rtrec.engine.publications import publishing
from rtrec.engine.refits import RefitPlan, Refits
from rtrec.engine.reporting import status_of
from rtrec.engine.status import Notice, Phase, Served, served_since
from rtrec.engine.steering import Steering
from rtrec.engine.storage import Storage
from rtrec.errors import StorageUnavailable
from rtrec.events.feeds import Fed, Feed
from rtrec.events.lag import SourceLag
from rtrec.events.log import Control

if TYPE_CHECKING:
    from dask.distributed import Security

    from rtrec.engine.live import LiveRun

#: Accepted chunks that may wait for the shards; then the feed waits.
_WAITING = 4
_STATUS_S, _COVERAGE_S = 0.2, 2.0
#: How long lists that wait may still be delivered when a run ends.
_DRAIN_S = 5.0
_FINISHED = "all events that were asked for are learned"
_LOOKING = "no source was given: this only looks at what is there"
_SILENT = "a worker does not answer; until it does, lists come from the last snapshot"


class Session:
    """See :class:`rtrec.engine.live.LiveRun`, which owns the only one of its kind."""

    def __init__(
        self,
        run: LiveRun,
        held: ExitStack,
        feed: Feed | None,
        *,
        speed: float | None,
        limit: int | None,
        scheduler: str | None,
        security: Security | None,
        titles: Mapping[str, str],
        snapshot_every: int,
        keep_snapshots: int,
        batch_events: int,
        processes: bool,
        refits: RefitPlan,
        accept_bad: bool,
        overload: OverloadPlan,
        sink: ListSink | None,
    ) -> None:
        self._run = run
        self._feed = feed
        self._limit = limit
        self._home = run.deployment.home
        self._log = run.deployment.open_log()
        held.callback(self._log.close)
        self._stop_feed, self._stop = threading.Event(), asyncio.Event()
        self._storage = Storage(
            self._home, n_events=lambda: self._driver.ledger.n_events, sleep=self._stopped_within
        )
        self._workers = Workers(
            self._log.partitions, scheduler=scheduler, security=security, processes=processes
        )
        risks = filter(None, [self._workers.risk])
        self._risks = [Notice(0, utc_now(), "cluster", each) for each in risks]
        self._driver = Driver(
            run.deployment,
            self._log,
            self._workers,
            texts=run.deployment.texts(),
            categories=run.deployment.categories(),
            batch_events=batch_events,
            snapshot_every=snapshot_every,
            keep=keep_snapshots,
            storage=self._storage,
            say=self._tell,
        )
        # A worker has a folder of its own to start in, so a path from here on would lead elsewhere.
        home = run.deployment.home.resolve()
        self._refits = Refits(
            refits, home, self._workers.run, partial(publishing, self._log), storage=self._storage
        )
        self._accept_bad = accept_bad
        self._gauges, self._backlog = Gauges(), Backlog(overload.most_waiting_bytes)
        self._accepting = Accepting(
            self._log, feed, self._storage, self._backlog, self._gauges, self._stop.is_set
        )
        self._overload = None if feed is None else self._make_overload(overload, feed)
        self._feeding = None
        if feed is not None:
            gate = Gate(
                self._log, lambda: self._driver.ledger.intake, self._stop_feed.wait, accept_bad=accept_bad
            )
            self._feeding = Feeding(feed, self._log, gate, speed=speed, emit=self._emit, stop=self._stop_feed)
        self._moved = asyncio.Event()
        self._lock = asyncio.Lock()  # the driver is used by one task at a time
        self.answering = Answering(run.deployment, self._driver, self._workers, self._lock, titles)
        self._failure: BaseException | None = None
        self.steering = Steering(
            self._home,
            self._log,
            self._driver,
            self._workers,
            self._lock,
            nudge=lambda: self._emit(None),
            failure=lambda: self._failure,
        )
        self._phase, self._message = Phase.STARTING, "starting workers"
        self._began, self._seconds = time.monotonic(), 0.0
        self._at_start = 0
        self._served_before: dict[str, Served] = {}
        self._source_name = feed.name if feed is not None else ""
        self._coverage: dict[str, float] = {}
        self._nudged_for = -1  # the last control that the flow was told of
        self._coming_back = ""
        self._outbox = None if sink is None else self._make_outbox(sink)

    async def run(self, ready: threading.Event) -> None:
        """Run from start to stop; ``ready`` is set once questions can be asked."""
        ticker = asyncio.create_task(self._tick())
        try:
            await self._live(ready)
        finally:
            ticker.cancel()
            if self._outbox is not None:
                await self._outbox.stop()
            await self._refits.stop()
            await self._workers.close()
            ready.set()

    def _make_outbox(self, sink: ListSink) -> Outbox:
        async def lists(user_ids: Sequence[str]) -> list[dict[str, Any]]:
            async with self._lock:
                ledger = self._driver.ledger
                answers = await self._driver.lists(user_ids, ledger.settings.list_length)
                return [as_message(*each, ledger) for each in zip(answers, user_ids, strict=True)]

        def is_idle() -> bool:
            return self._accepting.n_logged == self._driver.ledger.n_events and not self._lock.locked()

        return Outbox(sink, self._log, ends=lambda: self._driver.ledger.ends, lists=lists, is_idle=is_idle)

    def _make_overload(self, plan: OverloadPlan, feed: Feed) -> Overload:
        def append(control: Mapping[str, Any]) -> Awaitable[Control]:
            return self._storage.keep_trying(
                "Changing what is tested", partial(self._log.append_control, control)
            )

        def rate_per_s() -> float:
            return 0.0 if self.answering.is_away else self._gauges.rate_per_s()

        return Overload(
            plan,
            feed,
            sampling=lambda: self._driver.ledger.sampling,
            rate_per_s=rate_per_s,
            append=append,
        )

    def request_stop(self) -> None:
        """Ask for the end; called in the loop."""
        self._stop_feed.set()
        self._stop.set()
        self._backlog.open()
        self._refits.give_up()

    def _tell(self, phase: Phase, message: str) -> None:
        """Take what the way to state is at, at the start or in the midst of a run."""
        if self._phase in (Phase.STARTING, Phase.RECOVERING):
            self._phase, self._message = phase, message
        else:
            self._coming_back = message

    async def _live(self, ready: threading.Event) -> None:
        self._accepting.count()
        await self._workers.start()
        async with self._lock:
            await self._driver.start()
            self._refits.resume(self._driver.ledger)
        await self._advance(lambda _: None)
        if self._accept_bad and self._driver.ledger.intake.paused:
            await asyncio.to_thread(self._log.append_control, resume())
            await self._advance(lambda _: None)
        self.answering.started.set()
        self._source_name = self._run.deployment.manifest["source"]
        self._accepting.resume(self._source_name)
        self._gauges.see(await asyncio.to_thread(users_seen_last, self._log))
        self._began, self._at_start = time.monotonic(), self._driver.ledger.n_events
        self._served_before = dict(self._driver.ledger.served)
        self._phase, self._message = Phase.RUNNING, "learning"
        if self._outbox is not None:
            await self._outbox.start()
        ready.set()
        source, self._last_node = build_flow(
            self._accept, self._learn, lambda _: self._moved.set(), self._fail, n_waiting=_WAITING
        )
        self._source = source
        if self._overload is not None and self._feeding is not None:
            await self._overload.start()
            error = await self._feeding.run(self._n_more())
            await self._overload.stop()
            await self._drained()  # what was accepted is learned even if the feed failed
            self._failure = self._failure or error
            if self._failure is None and not self._stop.is_set():
                await self._overload.lift()
                await self._settle()
        self._seconds = time.monotonic() - self._began
        if self._failure is None and not self._stop.is_set():
            await self._checkpoint()
            self._phase, self._message = Phase.FINISHED, _FINISHED if self._feed else _LOOKING
            await self._publish()
            while not self._stop.is_set() and self._failure is None:
                await asyncio.sleep(0.05)
        if self._failure is not None:
            await self._publish()
            raise self._failure
        if self._outbox is not None:
            await self._outbox.stop(drain_s=_DRAIN_S)
        await self._checkpoint()
        finished = self._phase is Phase.FINISHED
        self._phase = Phase.FINISHED if finished else Phase.STOPPED
        self._message = self._message if finished else "stopped; the next run goes on from here"
        await self._publish()

    def _n_more(self) -> int | None:
        """Return how many events are asked for, None for all there are."""
        if self._limit is None:
            return None
        return max(self._driver.ledger.n_warm + self._limit - self._accepting.n_logged, 0)

    async def _emit(self, fed: Fed | None) -> None:
        """Send events through the flow, or only have it take what waits in the log."""
        await self._source.emit(fed, asynchronous=True)

    async def _accept(self, fed: Fed | None) -> None:
        """Take events into the log; what goes on through the flow only says that something waits there."""
        if fed is not None:
            await self._accepting.accept(fed)

    async def _stopped_within(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks for the end; say whether that was so."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return self._stop.is_set()

    async def _learn(self, _: None) -> None:
        """Cut and learn all that was accepted; several small chunks become one micro-batch."""
        if self._failure is not None:
            return
        await self._advance(self._note_learned)

    def _note_learned(self, n_events: int) -> None:
        self._gauges.learn(n_events)
        self._backlog.learn(n_events)

    async def _advance(self, learned: Callable[[int], None]) -> None:
        """Learn what the log has, and begin refits where they fall due."""
        while not self._refits.holds_the_stream:
            due_at = self._refits.due_at
            async with self._lock:
                await self._driver.advance(learned, until=due_at)
            await self._accepting.hear_of_redriven(self._driver.ledger.intake.taken)
            if due_at is None or self._driver.ledger.n_events < due_at:
                return
            if due_at == self._refits.due_at:  # else somebody else's call came by there as well
                await self._refits.begin(self._driver.ledger)

    async def _settle(self) -> None:
        """Wait for the refits at work when a feed has ended, and take what they publish."""
        self._message = "waiting for a model that is being fitted"
        settled = asyncio.ensure_future(self._refits.settled())
        while not settled.done() and not self._stop.is_set():
            await asyncio.wait({settled}, timeout=_STATUS_S)
        settled.cancel()
        await self._advance(self._note_learned)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop_feed.set()
        self._backlog.open()

    async def _drained(self) -> None:
        """Wait until everything accepted is learned, or learning failed."""
        while (
            self._failure is None
            and not self._refits.holds_the_stream
            and self._accepting.n_logged > self._driver.ledger.n_events
        ):
            self._moved.clear()
            with suppress(TimeoutError):  # what fails does not come out at the end of the flow
                await asyncio.wait_for(self._moved.wait(), _STATUS_S)

    async def _checkpoint(self) -> None:
        async with self._lock:
            await self._driver.written()
            ledger = self._driver.ledger
            if self._driver.snapshot_name != f"{ledger.seq:012d}" and ledger.seq:
                await self._driver.snapshot()
                await self._driver.written()
            self._coverage = await self._driver.coverage()

    async def _tick(self) -> None:
        """Publish the status a few times a second, whatever the flow is doing."""
        asked = 0.0
        while True:
            if (
                self._phase is Phase.RUNNING
                and time.monotonic() - asked > _COVERAGE_S
                and not self._lock.locked()
            ):
                try:
                    async with self._lock:
                        self._coverage = await self._driver.coverage()
                except Exception as error:  # else the status would stand still without a word
                    self._fail(error)
                asked = time.monotonic()
            await self._publish()
            try:
                await self._take_controls()
            except StorageUnavailable:  # it is looked again, and who has something to store says so
                pass
            except Exception as error:
                self._fail(error)
            await asyncio.sleep(_STATUS_S)

    async def _take_controls(self) -> None:
        """Where no event comes by that would, have the flow take controls that somebody appended."""
        ledger = self._driver.ledger
        is_learned = self._accepting.n_logged == ledger.n_events
        idle = self._phase in (Phase.RUNNING, Phase.FINISHED) and is_learned
        if not idle or self._lock.locked():
            return
        pending = await asyncio.to_thread(lambda: self._log.controls(ledger.n_controls))
        if pending and pending[-1].offset > self._nudged_for:
            self._nudged_for = pending[-1].offset
            await self._emit(None)

    def _now(self) -> tuple[Phase, str]:
        """Return where the run is, and what there is to say of it."""
        if self.answering.is_away and self._phase in (Phase.RUNNING, Phase.FINISHED):
            coming_back = self._coming_back if self._driver.recovery.is_going_on else _SILENT
            return Phase.RECOVERING, coming_back
        if self._phase is Phase.RUNNING and (why := self._driver.ledger.intake.paused):
            return Phase.PAUSED, why
        return self._phase, self._message

    async def _publish(self) -> None:
        ledger, now = self._driver.ledger, time.monotonic()
        self.answering.tidy()
        learned = status_of(ledger, *self._now(), coverage=self._coverage)
        running = self._phase in (Phase.STARTING, Phase.RECOVERING, Phase.RUNNING)
        p50, p95 = self._gauges.freshness_ms()
        status = replace(
            learned,
            run_events=ledger.n_events - self._at_start,
            logged=self._accepting.n_logged,
            waiting_bytes=self._backlog.n_bytes,
            source_lag=SourceLag() if self._overload is None else self._overload.lag,
            rate_per_s=self._gauges.rate_per_s() if self._phase is Phase.RUNNING else 0.0,
            freshness_p50_ms=p50,
            freshness_p95_ms=p95,
            dead_letters=self._accepting.n_dead,
            counts=self._accepting.counts,
            watermark=self._accepting.watermark.moment,
            most_late_s=self._accepting.watermark.most_behind / 1e6,
            alarms=(*learned.alarms, *self._refits.notices, *self._storage.notices, *self._risks),
            served=served_since(self._served_before, ledger.served),
            fitting=self._refits.at_work,
            snapshot=self._driver.snapshot_name,
            snapshot_events=self._driver.snapshot_events,
            shards=self._log.partitions,
            seconds=now - self._began if running else self._seconds,
            source=self._source_name,
            recoveries=self._driver.recovery.count,
            recovery_s=self._driver.recovery.last_s,
            delivery=None if self._outbox is None else self._outbox.delivery,
        )
        self._run._publish(status, ledger.history.to_xarray())

    async def resume(self) -> None:
        """See ``LiveRun.resume``."""
        await self.steering.resume()
        await self._publish()  # who has asked must not see the pause that is over

    def recent_users(self, limit: int) -> list[str]:
        """See ``LiveRun.recent_users``; called from any thread."""
        return self._gauges.recent_users(limit)

    async def find_users(self, text: str, limit: int) -> list[str]:
        """See ``LiveRun.find_users``."""
        # Copied here, where users are numbered too, and looked through elsewhere: millions take a while.
        rosters = [users.ids() for users in self._driver.ledger.numbering.users]
        return await asyncio.to_thread(matching_ids, chain.from_iterable(rosters), text, limit)
