"""A run without an engine: every figure is made up, seeded, and moves only when it is told to."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from rtrec.engine.recommendation import Reason, Recommendation, RecommendedItem
from rtrec.engine.status import (
    AppliedChange,
    ModelScore,
    Notice,
    Phase,
    Status,
    TableChange,
)
from rtrec.evaluation.comparison import Comparison, compare
from rtrec.evaluation.history import MetricHistory
from rtrec.evaluation.metrics import RankCounts
from rtrec.settings import Settings

MODELS = ("default", "popularity", "cooccurrence", "transitions")
K = 10
BEGIN = datetime(2024, 3, 1, 8, tzinfo=UTC)
SECONDS_PER_EVENT = 20.0
#: Hit rates before and after the drift, model by model.
RATES = np.array([[0.152, 0.078, 0.121, 0.104], [0.118, 0.071, 0.092, 0.083]])
DRIFT_AT = 60_000
#: Place of the list from which on there is no candidate left.
FILLED_UP_FROM = K - 1
#: Titles come from outside, so one of them tries to run a script.
HOSTILE = '<script>window.hacked = true</script><img src=x onerror="window.hacked = true">'
TITLES = (
    "Silent Harbour",
    "Golden Tide",
    HOSTILE,
    "Northern Summit and the Long Way Down to the Valley of the Second Glacier",
    "Burning Rooftop",
    "Velvet Comet",
    "Crooked Orchard",
    "Little Waltz",
    "Pale Cinnamon",
    "Restless Detective",
    "Hidden Lighthouse",
    "Broken Trumpet",
    "Early Meadow",
    "Paper Galaxy",
    "Copper Kettle",
)


class ScriptedRun:
    """Answer like a live run over a stream that drifts once.

    Parameters
    ----------
    tested
        Events tested before the first reading.
    step
        Events that each call of :meth:`status` adds; 0 stands still.
    phase
        What :meth:`status` says at first.
    """

    def __init__(self, tested: int = 0, *, step: int = 0, phase: Phase = Phase.RUNNING) -> None:
        self.phase = phase
        self.message = "Compiling the kernels: about 20 seconds the first time, none after that."
        self.step = step
        self.settings = Settings()
        self.preview_gate = threading.Event()
        self.preview_gate.set()
        self.previewed: list[dict[str, Any]] = []
        self.broken = ""
        self.table_changes: tuple[TableChange, ...] = ()
        self._rng = np.random.default_rng(7)
        self._history = MetricHistory(MODELS, K)
        self._counts = RankCounts(len(MODELS), K)
        self._changes: list[AppliedChange] = []
        self._asked = 0
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(max_workers=1)
        self.advance(tested)

    def advance(self, n_events: int) -> None:
        """Test and learn ``n_events`` more."""
        with self._lock:
            if not n_events:
                return
            offsets = self._counts.n_tested + np.arange(n_events)
            rates = RATES[(offsets >= DRIFT_AT).astype(int)]
            warming = 1.0 - 0.5 * np.exp(-offsets / 8_000)
            hits = self._rng.random((n_events, 1)) < rates * warming[:, None]
            ranks = np.where(hits, self._rng.integers(1, K + 1, (n_events, 1)), 0)
            self._history.add(ranks, BEGIN.timestamp() + offsets * SECONDS_PER_EVENT, offsets)
            self._counts.add(ranks)

    def status(self) -> Status:
        with self._lock:
            if self.broken:
                raise RuntimeError(self.broken)
            if self.phase is Phase.STARTING:
                n = self._counts.n_tested  # before the last stop
                return Status(
                    Phase.STARTING, self.message, events=n, tested=n, logged=n, source="synthetic stream"
                )
            self.advance(self.step)
            n = self._counts.n_tested
            return Status(
                phase=self.phase,
                message="" if self.phase is not Phase.FAILED else "Shard 0 was lost three times in a minute.",
                events=n,
                tested=n,
                logged=n + (40 if self.step else 0),
                rate_per_s=9_840.0 + 300 * np.sin(n / 3_000),
                freshness_p50_ms=12.0 + np.sin(n / 2_000),
                freshness_p95_ms=41.0 + 6 * np.cos(n / 2_500),
                event_time=BEGIN + timedelta(seconds=n * SECONDS_PER_EVENT),
                users=2_310,
                items=1_842,
                dead_letters=3 if n else 0,
                counts={"accepted": n, "no customer": 212, "missing user": 2, "far future": 1} if n else {},
                scores=self._scores(),
                k=K,
                settings=self.settings,
                alarms=self._alarms(n),
                table_changes=self.table_changes,
                snapshot="000000000090",
                snapshot_events=n - n % 20_000,
                run_events=n,
                source="synthetic stream, 8 taste groups",
                seconds=n / 9_840.0,
            )

    def history(self) -> Any:
        with self._lock:
            return self._history.to_xarray()

    def recent_users(self, limit: int = 200) -> list[str]:
        return [f"u{number}" for number in range(1, 41)][:limit]

    def find_users(self, text: str, limit: int = 50) -> list[str]:
        """Find among many more than were seen last."""
        return [each for each in (f"u{number}" for number in range(1, 2_311)) if text.lower() in each][:limit]

    def recommend(self, user_id: str, k: int = K) -> Recommendation:
        with self._lock:
            self._asked += 1
            known = user_id in self.recent_users()
            rng = np.random.default_rng(3 if known else 4)
            order = rng.permutation(len(TITLES))
            turn = self._counts.n_tested // 20_000
            order[:4] = np.roll(order[:4], turn)
            order[9:] = np.roll(order[9:], turn)
            history = tuple((f"i{place}", TITLES[place]) for place in order[::-1][:6]) if known else ()
            return Recommendation(
                user_id=user_id,
                known=known,
                history=history,
                items=tuple(self._item(int(place), rank, known) for rank, place in enumerate(order[:k])),
                offset=self._counts.n_tested,
            )

    def preview(self, changes: dict[str, Any], *, n_events: int = 20_000) -> Future[Comparison]:
        self.settings.changed(**changes)
        self.previewed.append(dict(changes))
        return self._pool.submit(self._compare, n_events)

    def apply(self, changes: dict[str, Any]) -> AppliedChange:
        with self._lock:
            changed = self.settings.changed(**changes)
            previous = {name: getattr(self.settings, name) for name in changes}
            self.settings = changed
            n = self._counts.n_tested
            change = AppliedChange(
                offset=len(self._changes) + len(self.table_changes),
                time=BEGIN + timedelta(seconds=n * SECONDS_PER_EVENT),
                changes=dict(changes),
                previous=previous,
                live_from=n,
            )
            self._changes.append(change)
            return change

    def undo(self, offset: int) -> AppliedChange:
        with self._lock:
            return self.apply(next(each.previous for each in self._changes if each.offset == offset))

    def publish(self, model: str, slot: str = "history", *, withdrawn: bool = False) -> None:
        """Publish a table, or withdraw it again."""
        with self._lock:
            n, offset = self._counts.n_tested, len(self._changes) + len(self.table_changes)
            time = BEGIN + timedelta(seconds=n * SECONDS_PER_EVENT)
            change = TableChange(offset, time, slot, withdrawn, model, n - 100, n)
            self.table_changes = (*self.table_changes, change)

    def resume(self) -> None:
        self.phase = Phase.RUNNING

    def changes(self) -> list[AppliedChange]:
        with self._lock:
            return list(self._changes)

    def _scores(self) -> tuple[ModelScore, ...]:
        if not self._counts.n_tested:
            return ()
        hr, ndcg = self._counts.hit_rate(), self._counts.ndcg()
        (hr_low, hr_high), (low, high) = self._counts.interval("hit_rate"), self._counts.interval("ndcg")
        coverage = (0.62, 0.06, 0.55, 0.48)
        return tuple(
            ModelScore(
                model=model,
                hit_rate=float(hr[place]),
                hit_rate_low=float(hr_low[place]),
                hit_rate_high=float(hr_high[place]),
                ndcg=float(ndcg[place]),
                ndcg_low=float(low[place]),
                ndcg_high=float(high[place]),
                coverage=coverage[place],
            )
            for place, model in enumerate(MODELS)
        )

    def _alarms(self, n: int) -> tuple[Notice, ...]:
        if n < DRIFT_AT + 2_000:
            return ()
        time = BEGIN + timedelta(seconds=(DRIFT_AT + 2_000) * SECONDS_PER_EVENT)
        fell = "Hit rate fell from 15.1% to 11.9% over the last 2,000 tested events."
        rose = "Hit rate rose from 9.8% to 14.6% over the last 2,000 tested events."
        early = BEGIN + timedelta(seconds=9_000 * SECONDS_PER_EVENT)
        return (
            Notice(9_000, early, "improvement", rose, 0.048),
            Notice(DRIFT_AT + 2_000, time, "accuracy", fell, -0.032),
        )

    def _item(self, place: int, rank: int, known: bool) -> RecommendedItem:
        strength = 2.4 / (1 + 0.35 * rank)
        popular = Reason("trend_short", "Popular in the last 24 hours", 0.35 * strength)
        if rank == FILLED_UP_FROM:
            return RecommendedItem(f"i{place}", TITLES[place], float("nan"), ())
        if not known:
            return RecommendedItem(f"i{place}", TITLES[place], popular.part, (popular,))
        because = (TITLES[(place + 3) % len(TITLES)], TITLES[(place + 5) % len(TITLES)])
        reasons = (
            Reason("cooccurrence_ring", "Often had together with your last items", strength, because),
            popular,
            Reason("age", "New items are chosen less often", -0.124 * strength),
            Reason("transitions_ring", "Goes with the last item", 0.073 * strength),
            Reason("trend_long", "Popular in the last 7 days", 0.031 * strength),
        )
        return RecommendedItem(f"i{place}", TITLES[place], sum(each.part for each in reasons), reasons)

    def _compare(self, n_events: int) -> Comparison:
        assert self.preview_gate.wait(timeout=30.0), "the test never opened the gate"
        rng = np.random.default_rng(11)
        live = np.where(rng.random(n_events) < 0.118, rng.integers(1, K + 1, n_events), 0)
        gained = (live == 0) & (rng.random(n_events) < 0.011)
        lost = (live > 0) & (rng.random(n_events) < 0.03)
        changed = np.where(gained, rng.integers(1, K + 1, n_events), np.where(lost, 0, live))
        offsets = self._counts.n_tested - n_events + np.arange(n_events)
        times = BEGIN.timestamp() + offsets * SECONDS_PER_EVENT
        return compare(changed, live, K, names=("changed", "live"), timestamps=times, offsets=offsets)
