"""The inside of a live run: feed, flow, driver and the answers to questions, all in one event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rtrec.engine.cluster import Workers
from rtrec.engine.driver import Driver, shard_arrays
from rtrec.engine.exchange import batch_order
from rtrec.engine.flow import build_flow
from rtrec.engine.ledger import Ledger
from rtrec.engine.status import (
    AppliedChange,
    ModelScore,
    Notice,
    Phase,
    Reason,
    Recommendation,
    RecommendedItem,
    Status,
)
from rtrec.engine.whatif import replay
from rtrec.errors import InputError
from rtrec.evaluation.comparison import Comparison, compare
from rtrec.evaluation.drift import Alarm
from rtrec.events.feeds import Fed, Feed
from rtrec.events.schema import shard_of
from rtrec.models.kernel import RACERS, UNTESTED
from rtrec.models.snapshot import list_snapshots, read_snapshot
from rtrec.settings import Settings
from rtrec.types import Columns

if TYPE_CHECKING:
    from rtrec.engine.live import LiveRun

#: Accepted chunks that may wait for the shards; then the feed waits.
_WAITING = 4
_STATUS_S, _COVERAGE_S, _RATE_S = 0.2, 2.0, 5.0
_RECENT_USERS = 1000
_DEDUP_WINDOW = 1_000_000


@dataclass(frozen=True)
class _Nudge:
    """Goes through the flow in place of events: a control waits in the log."""


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
        titles: Mapping[str, str],
        snapshot_every: int,
        batch_events: int,
        processes: bool,
    ) -> None:
        self._run = run
        self._held = held
        self._feed = feed
        self._speed = speed
        self._limit = limit
        self._titles = titles
        self._log = run.deployment.open_log()
        held.callback(self._log.close)
        self._workers = Workers(self._log.partitions, scheduler=scheduler, processes=processes)
        self._driver = Driver(
            run.deployment,
            self._log,
            self._workers,
            batch_events=batch_events,
            snapshot_every=snapshot_every,
        )
        self._stop_feed = threading.Event()
        self._stop = asyncio.Event()
        self._moved = asyncio.Event()
        self._lock = asyncio.Lock()  # the driver is used by one task at a time
        self._failure: BaseException | None = None
        self._phase, self._message = Phase.STARTING, "starting workers and loading kernels"
        self._began, self._seconds = time.monotonic(), 0.0
        self._at_start = 0
        self._accepted_at: deque[tuple[int, float]] = deque()
        self._freshness: deque[float] = deque(maxlen=512)
        self._rate: deque[tuple[float, int]] = deque()
        self._recent: dict[str, None] = {}
        self._coverage: dict[str, float] = {}
        self._notices: list[Notice] = []
        self._counts: dict[str, int] = {}
        self._n_dead = 0

    async def run(self, ready: threading.Event) -> None:
        """Run from start to stop; ``ready`` is set once questions can be asked."""
        try:
            with self._held:
                ticker = asyncio.create_task(self._tick())
                try:
                    await self._live(ready)
                finally:
                    ticker.cancel()
                    await self._workers.close()
        finally:
            ready.set()

    def request_stop(self) -> None:
        """Ask for the end; called in the loop."""
        self._stop_feed.set()
        self._stop.set()

    async def _live(self, ready: threading.Event) -> None:
        await self._workers.start()
        self._phase, self._message = (
            Phase.RECOVERING,
            "loading the last snapshot and replaying the log behind it",
        )
        async with self._lock:
            await self._driver.restore()
            self._book(await self._driver.advance())
        self._n_dead = sum(self._log.dead_letter_counts().values())
        self._began, self._at_start = time.monotonic(), self._driver.ledger.n_events
        self._phase, self._message = Phase.RUNNING, "learning"
        ready.set()
        source, self._last_node = build_flow(
            self._accept, self._learn, self._book, self._fail, n_waiting=_WAITING
        )
        self._source = source
        if self._feed is not None:
            await asyncio.to_thread(self._feed_all, asyncio.get_running_loop())
            await self._drained()
        self._seconds = time.monotonic() - self._began
        if self._failure is None and not self._stop.is_set():
            await self._checkpoint()
            self._phase, self._message = Phase.FINISHED, "all events of the source are learned"
            await self._publish()
            while not self._stop.is_set() and self._failure is None:
                await asyncio.sleep(0.05)
        if self._failure is not None:
            raise self._failure
        await self._checkpoint()
        finished = self._phase is Phase.FINISHED
        self._phase = Phase.FINISHED if finished else Phase.STOPPED
        self._message = self._message if finished else "stopped; the next run goes on from here"
        await self._publish()

    def _feed_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the feed to the flow; runs in a thread, and waits whenever the flow is full."""
        feed, log = self._feed, self._log
        assert feed is not None
        n_more = None
        if self._limit is not None:
            n_more = max(self._driver.ledger.n_warm + self._limit - sum(log.ends()), 0)
            if n_more == 0:
                return
        try:
            for fed in feed.start(
                log.position(feed.name),
                speed=self._speed,
                n_more=n_more,
                counts=log.cleaning_counts(feed.name),
                recent_ids=log.recent_event_ids(_DEDUP_WINDOW),
                sleep=self._stop_feed.wait,
            ):
                if self._stop_feed.is_set() or self._failure is not None:
                    return
                asyncio.run_coroutine_threadsafe(self._emit(fed), loop).result()
        except CancelledError:
            return
        except Exception as error:
            self._failure = error

    async def _emit(self, fed: Fed | _Nudge) -> None:
        await self._source.emit(fed, asynchronous=True)

    async def _accept(self, fed: Fed | _Nudge) -> Fed | _Nudge:
        """Append to the log; what returns from here is durable."""
        if isinstance(fed, _Nudge):
            return fed
        n_shards = self._log.partitions
        parts = [fed.events]
        if n_shards > 1:
            shards = shard_of(fed.events[Columns.USER_ID], n_shards)
            parts = [fed.events.filter(pa.array(shards == shard)) for shard in range(n_shards)]
        assert self._feed is not None
        ends = await asyncio.to_thread(
            self._log.append,
            parts,
            source=self._feed.name,
            position=fed.position,
            counts=fed.counts,
            dead_letters=fed.dead_letters,
        )
        self._accepted_at.append((sum(ends), time.monotonic()))
        self._counts, self._n_dead = dict(fed.counts), self._n_dead + len(fed.dead_letters)
        for user in pc.unique(fed.events[Columns.USER_ID]).to_pylist():
            self._recent.pop(user, None)
            self._recent[user] = None
        while len(self._recent) > _RECENT_USERS:
            self._recent.pop(next(iter(self._recent)))
        return fed

    async def _learn(self, _: Fed | _Nudge) -> list[Alarm]:
        """Cut and learn all that was accepted; several small chunks become one micro-batch."""
        async with self._lock:
            alarms = await self._driver.advance()
        now, n_events = time.monotonic(), self._driver.ledger.n_events
        while self._accepted_at and self._accepted_at[0][0] <= n_events:
            self._freshness.append(1000.0 * (now - self._accepted_at.popleft()[1]))
        self._rate.append((now, n_events))
        self._moved.set()
        return alarms

    def _book(self, alarms: list[Alarm]) -> None:
        self._notices += [Notice(each.offset, each.time, each.kind, each.sentence) for each in alarms]

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop_feed.set()
        self._moved.set()

    async def _drained(self) -> None:
        """Wait until everything accepted is learned."""
        while self._failure is None and sum(self._log.ends()) > self._driver.ledger.n_events:
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), 300)

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
                async with self._lock:
                    self._coverage = await self._driver.coverage()
                asked = time.monotonic()
            await self._publish()
            await asyncio.sleep(_STATUS_S)

    async def _publish(self) -> None:
        ledger, now = self._driver.ledger, time.monotonic()
        cube = ledger.history.to_xarray(smooth=max(1, ledger.history.n_windows // 40))
        running = self._phase in (Phase.STARTING, Phase.RECOVERING, Phase.RUNNING)
        seconds = now - self._began if running else self._seconds
        p50, p95 = np.percentile(self._freshness, [50, 95]) if self._freshness else (float("nan"),) * 2
        status = Status(
            phase=self._phase,
            message=self._message,
            events=ledger.n_events,
            run_events=ledger.n_events - self._at_start,
            tested=ledger.history.n_tested,
            logged=sum(self._log.ends()),
            rate_per_s=self._rate_now(now),
            freshness_p50_ms=float(p50),
            freshness_p95_ms=float(p95),
            event_time=datetime.fromtimestamp(ledger.last_time, UTC) if ledger.n_events else None,
            users=ledger.n_users,
            items=len(ledger.items),
            dead_letters=self._n_dead,
            counts=self._counts,
            scores=self._scores(),
            k=ledger.settings.list_length,
            settings=ledger.settings,
            alarms=tuple(self._notices),
            snapshot=self._driver.snapshot_name,
            shards=self._log.partitions,
            seconds=seconds,
            source=self._feed.name if self._feed is not None else "",
            recoveries=self._driver.recoveries,
        )
        self._run._publish(status, cube)

    def _rate_now(self, now: float) -> float:
        while len(self._rate) > 1 and now - self._rate[0][0] > _RATE_S:
            self._rate.popleft()
        if not self._rate or self._phase is not Phase.RUNNING:
            return 0.0
        (then, before), (_, after) = self._rate[0], self._rate[-1]
        return (after - before) / max(now - then, _STATUS_S)

    def _scores(self) -> tuple[ModelScore, ...]:
        total = self._driver.ledger.history.total()
        if not total.n_tested:
            return ()
        hit_rate, ndcg = total.hit_rate().tolist(), total.ndcg().tolist()
        (hr_low, hr_high), (ndcg_low, ndcg_high) = (total.interval(each) for each in ("hit_rate", "ndcg"))
        return tuple(
            ModelScore(
                model=racer,
                hit_rate=hit_rate[i],
                hit_rate_low=float(hr_low[i]),
                hit_rate_high=float(hr_high[i]),
                ndcg=ndcg[i],
                ndcg_low=float(ndcg_low[i]),
                ndcg_high=float(ndcg_high[i]),
                coverage=self._coverage.get(racer, 0.0),
            )
            for i, racer in enumerate(RACERS)
        )

    def recent_users(self, limit: int) -> list[str]:
        """See ``LiveRun.recent_users``; called from any thread."""
        return list(reversed(list(self._recent)))[:limit]

    def changes(self) -> list[AppliedChange]:
        """See ``LiveRun.changes``; called from any thread."""
        return list(self._driver.ledger.changes)

    async def recommend(self, user_id: str, k: int) -> Recommendation:
        """See ``LiveRun.recommend``."""
        async with self._lock:
            answer, known = await self._driver.answer(user_id, k)
            ledger = self._driver.ledger
            name = ledger.items.id_of

            def title(item: int) -> str:
                return self._titles.get(name(item), name(item))

            return Recommendation(
                user_id=user_id,
                known=known,
                history=tuple((name(item), title(item)) for item in answer.history),
                items=tuple(
                    RecommendedItem(
                        name(place.item_num),
                        title(place.item_num),
                        place.score,
                        tuple(
                            Reason(
                                part.feature, part.sentence, part.value, tuple(map(title, part.because_of))
                            )
                            for part in place.parts
                        ),
                    )
                    for place in answer.places
                ),
                offset=ledger.n_events,
            )

    async def preview(self, changed: Settings, n_events: int) -> Comparison:
        """See ``LiveRun.preview``."""
        async with self._lock:
            ledger = self._driver.ledger
            settings, first, seq = ledger.settings, max(ledger.n_events - n_events, 0), ledger.seq
            await self._driver.written()  # what is being pruned must not be read
            start, states, before, cuts, times = await asyncio.to_thread(self._replay_input, first, seq)
        if not len(times):
            raise InputError("nothing to replay yet: no event has been learned")
        shared = await self._workers.share(cuts)
        shared_states = None if states is None else await self._workers.share(states)
        n_shards = self._log.partitions
        variants = (changed.model_dump(), settings.model_dump())
        ranks_changed, ranks_now = await asyncio.gather(
            *(
                self._workers.run(replay, shared_states, before.model_dump(), variant, shared, n_shards)
                for variant in variants
            )
        )
        tested = np.flatnonzero((ranks_now != UNTESTED) & (start + np.arange(len(ranks_now)) >= first))
        return compare(
            ranks_changed[tested],
            ranks_now[tested],
            settings.list_length,
            names=("changed", "as it is"),
            timestamps=times[tested],
            offsets=start + tested,
        )

    def _replay_input(self, first: int, seq: int) -> tuple[int, Any, Settings, list[Any], np.ndarray]:
        """Return state from the newest snapshot not past event ``first``, and all cuts from there to
        ``seq``.
        """
        live, n_shards = self._driver.ledger, self._log.partitions
        start, after, ends, states, before = 0, 0, (0,) * n_shards, None, live.settings
        for path in reversed(list_snapshots(self._run.deployment.snapshots)):
            snapshot = read_snapshot(path)
            if snapshot.manifest["n_events"] <= first:
                old = Ledger.from_snapshot(snapshot)
                start, after, ends, before = old.n_events, old.seq, old.ends, old.settings
                states = [shard_arrays(snapshot, shard) for shard in range(n_shards)]
                break
        cuts, times = [], [np.zeros(0)]
        for cut in self._log.cuts(after):
            if cut.seq > seq:
                break
            parts = live.number(
                [self._log.read(p, a, b) for p, (a, b) in enumerate(zip(ends, cut.ends, strict=True))]
            )
            cuts.append(parts)
            times.append(np.concatenate([part.timestamp for part in parts])[batch_order(parts)])
            ends = cut.ends
        return start, states, before, cuts, np.concatenate(times)

    async def apply(self, changes: dict[str, Any]) -> AppliedChange:
        """See ``LiveRun.apply``."""
        control = await asyncio.to_thread(
            self._log.append_control, {"control": "settings", "changes": changes}
        )
        await self._emit(_Nudge())
        while not any(each.offset == control.offset for each in self._driver.ledger.changes):
            if self._failure is not None:
                raise self._failure
            await asyncio.sleep(0.01)
        return next(each for each in self._driver.ledger.changes if each.offset == control.offset)
