"""The driver: apply the log to the shards, cut by cut; snapshot; recover.

There is one way to state: the newest good snapshot, then the cuts journaled behind it, then what the log
holds that no cut covers yet. A new run, a restart after a kill and a lost worker all take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import structlog

from rtrec.engine.cluster import Workers
from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.exchange import Agreement, Outcome, agree, cut_up, in_common_order
from rtrec.engine.ledger import Ledger
from rtrec.engine.origin import Origin, origin_of
from rtrec.engine.publications import prune_tables, read_publications
from rtrec.engine.shard import Shard
from rtrec.engine.status import Phase
from rtrec.errors import ShardError, WorkerLost
from rtrec.events.log import Cut, EventLog
from rtrec.events.schema import shard_of
from rtrec.features.categories import Categories
from rtrec.models.explain import Answer
from rtrec.models.kernel import RACERS
from rtrec.models.ranker import Ranker, new_ranker, ranker_of
from rtrec.models.snapshot import (
    Snapshot,
    latest_snapshot,
    list_snapshots,
    prune_snapshots,
    read_snapshot,
    write_snapshot,
)
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from rtrec.types import Columns

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
#: A batch that kills its worker each time ends the run, but only then.
_MOST_ATTEMPTS = 5


class Driver:
    """Owner of the order of things: every call below is made by one task at a time.

    Parameters
    ----------
    deployment, log
        Where snapshots are, and the log (this run is its only writer).
    workers
        Where shards run.
    texts, categories
        Of items by id, which the deployment begins with.
    batch_events
        How many events of a partition make a cut, at the most.
    snapshot_every
        Events between two snapshots.
    keep
        How many snapshots are kept; a what-if starts from the newest one old enough.
    say
        Is told what a way back to state is at.
    """

    def __init__(
        self,
        deployment: Deployment,
        log: EventLog,
        workers: Workers,
        *,
        texts: Mapping[str, str],
        categories: Categories,
        batch_events: int = 1000,
        snapshot_every: int = 20_000,
        keep: int = 4,
        say: Callable[[Phase, str], None] = lambda phase, message: None,
    ) -> None:
        self.deployment = deployment
        self.log = log
        self.ledger = self._empty_ledger(Origin())
        self.snapshot_name = ""
        self.recoveries = 0
        self._workers = workers
        self._tables = TableStore(deployment.home)
        self._known = texts, categories
        self._origin: Origin | None = None
        self._batch_events = batch_events
        self._snapshot_every = snapshot_every
        self._keep = keep
        self._say = say
        self._shards: list[Any] = []
        self._agreement: Agreement | None = None
        self._ranker: Ranker = new_ranker()
        self._snapshot_at = 0
        self._writing: asyncio.Task[str] | None = None

    async def start(self) -> None:
        """Come to the state that the log has, for the first time."""
        try:
            await self._restore()
        except WorkerLost as error:
            await self._recover(error)

    async def _restore(self) -> None:
        """Load the newest good snapshot and apply all cuts behind it."""
        await self.written()
        self._say(Phase.RECOVERING, "loading the last snapshot")
        snapshot = await asyncio.to_thread(latest_snapshot, self.deployment.snapshots, named=SNAPSHOT_NAME)
        if snapshot is None:
            self.ledger = self._empty_ledger(await asyncio.to_thread(self.origin))
            self._ranker = new_ranker()
        else:
            self.ledger = Ledger.from_snapshot(snapshot)
            state = shard_arrays(snapshot, 0)
            self._ranker = ranker_of(state)
            self.snapshot_name = snapshot.path.name
        self._agreement = None
        self._snapshot_at = self.ledger.n_events
        self._shards = list(
            await asyncio.gather(*(self._place(i, snapshot) for i in range(self.log.partitions)))
        )
        self._say(
            Phase.STARTING,
            "loading kernels: a second, or half a minute where they are compiled for the first time",
        )
        await asyncio.gather(*(self._call(i, "compile") for i in range(len(self._shards))))
        self._say(Phase.RECOVERING, "replaying the log behind the last snapshot")
        for cut in await asyncio.to_thread(self.log.cuts, self.ledger.seq):
            await self._apply(cut)

    async def advance(
        self, learned: Callable[[int], None] = lambda _: None, *, until: int | None = None
    ) -> None:
        """Cut what the log has beyond the last cut and apply it, until nothing is left.

        After each cut ``learned`` is told how many events are learned in all. Behind ``until`` events (with
        several partitions: at the first cut that reaches so many) only controls are taken.
        """
        while True:
            ends, n_controls = await asyncio.to_thread(self._next_ends, until)
            if ends == self.ledger.ends and n_controls == self.ledger.n_controls:
                return
            cut = await asyncio.to_thread(self.log.cut, ends, n_controls)
            try:
                await self._apply(cut)
            except WorkerLost as error:
                await self._recover(error)  # the cut is in the journal, so it is applied on the way
            learned(self.ledger.n_events)
            if self.ledger.n_events - self._snapshot_at >= self._snapshot_every:
                await self.snapshot()

    async def restart(self) -> None:
        """Start all workers anew and come back to the state as it is."""
        try:
            await self._workers.restart()
            await self._restore()
        except WorkerLost as error:
            await self._recover(error)

    async def snapshot(self) -> None:
        """Take the state as it is now and begin to write it; the stream goes on meanwhile.

        One snapshot is written at a time: this waits for the one before, and raises what that raised.
        """
        await self.written()
        states = await self._surely(
            lambda: asyncio.gather(
                *(self._call(i, "arrays", self._agreement, items=i == 0) for i in range(len(self._shards)))
            )
        )
        arrays = self.ledger.to_arrays()
        for shard, state in enumerate(states):
            for name, array in state.items():
                arrays[name if name.startswith("items/") else f"shard{shard}/{name}"] = array
        name, manifest = f"{self.ledger.seq:012d}", self.ledger.to_manifest()
        self._snapshot_at = self.ledger.n_events
        self._writing = asyncio.create_task(asyncio.to_thread(self._write, name, arrays, manifest))

    async def written(self) -> None:
        """Wait until the last snapshot is on disk."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self.snapshot_name = await writing

    def _write(self, name: str, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> str:
        """Write a snapshot, then let go of what no kept one needs; return its name."""
        folder = self.deployment.snapshots
        write_snapshot(folder, name, arrays, manifest)
        if prune_snapshots(folder, self._keep, named=SNAPSHOT_NAME):
            [first, *_] = list_snapshots(folder, named=SNAPSHOT_NAME)
            oldest = read_snapshot(first, mmap=True, verify=False).manifest
            self.log.compact(oldest["ends"], oldest["seq"])
            prune_tables(self._tables, self.log.controls(), oldest["n_controls"])
        return name

    async def answer(self, user_id: str, k: int) -> tuple[Answer, bool]:
        """Answer a user now; also say whether she is known."""
        shard = int(shard_of([user_id], len(self._shards))[0])
        user = int(self.ledger.numbering.users[shard].lookup([user_id])[0])
        now = self.ledger.last_time if self.ledger.n_events else 0.0
        answer = await self._surely(lambda: self._call(shard, "answer", self._agreement, user, now, k))
        return answer, user >= 0

    async def lists(self, user_ids: Sequence[str], k: int) -> list[Answer]:
        """Answer several users as they are now, without reasons, in the order given."""
        shards = shard_of(user_ids, len(self._shards))
        now = self.ledger.last_time if self.ledger.n_events else 0.0
        answers: list[Answer] = [Answer((), ())] * len(user_ids)
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard).tolist()
            nums = self.ledger.numbering.users[shard].lookup([user_ids[place] for place in places]).tolist()
            ask = partial(self._call, shard, "lists", self._agreement, nums, now, k)
            for place, found in zip(places, await self._surely(ask), strict=True):
                answers[place] = found
        return answers

    async def coverage(self) -> dict[str, float]:
        """Return for each racer the share of known items it has recommended to anybody."""
        seen = await self._surely(
            lambda: asyncio.gather(*(self._call(i, "coverage") for i in range(len(self._shards))))
        )
        width = max(shown.shape[1] for shown, _ in seen)
        union = np.zeros((len(RACERS), width), np.bool_)
        for shown, _ in seen:
            union[:, : shown.shape[1]] |= shown.astype(np.bool_)
        known = max(max(n_known for _, n_known in seen), 1)
        return {racer: float(union[place].sum() / known) for place, racer in enumerate(RACERS)}

    def _next_ends(self, until: int | None) -> tuple[tuple[int, ...], int]:
        """Return where the next cut ends, in each partition and among the controls."""
        n_controls = self.ledger.n_controls + len(self.log.controls(self.ledger.n_controls))
        room = self._batch_events if until is None else until - self.ledger.n_events
        if room <= 0:
            return self.ledger.ends, n_controls
        logged = self.log.ends()
        most = min(room, self._batch_events) if len(logged) == 1 else self._batch_events
        ends = tuple(min(end, start + most) for start, end in zip(self.ledger.ends, logged, strict=True))
        if len(ends) > 1 and ends != logged:
            ends = in_step(self.log, self.ledger.ends, ends, logged)
        return ends, n_controls

    async def _apply(self, cut: Cut) -> None:
        """Let the shards test and learn a cut, and book it."""
        tables = await asyncio.to_thread(read_cut, self.log, self.ledger.ends, cut)
        controls = await asyncio.to_thread(self.log.controls, self.ledger.n_controls, cut.controls)
        published = {}
        if controls:
            published = await asyncio.to_thread(
                read_publications, self._tables, controls, self.ledger.numbering
            )
        settings = self.ledger.change(controls)
        parts, forgetting = self.ledger.number(tables)
        n_warm = max(self.ledger.n_warm - self.ledger.n_events, 0)
        batches, order = cut_up(
            cut.seq,
            parts,
            n_warm,
            settings=settings,
            published=published,
            forgetting=forgetting,
            agreement=self._agreement,
        )
        outcomes: Sequence[Outcome] = await asyncio.gather(
            *(self._call(i, "step", batch) for i, batch in enumerate(batches))
        )
        if len(outcomes) > 1:
            self._agreement = agree(cut.seq, self._ranker, outcomes, order)
            self._ranker = self._agreement.ranker
        ranks = np.concatenate([each.ranks for each in outcomes])[order]
        items = np.concatenate([part.item_num for part in parts])
        self.ledger.take(cut, ranks, in_common_order(parts), items)

    def origin(self) -> Origin:
        """Return where the deployment began; the first call may take seconds."""
        if self._origin is None:
            self._origin = origin_of(Settings(**self.deployment.manifest["settings"]), *self._known)
        return self._origin

    def _empty_ledger(self, origin: Origin) -> Ledger:
        manifest = self.deployment.manifest
        settings = Settings(**manifest["settings"])
        n_warm = manifest["warmup_events"]
        return Ledger(manifest["shards"], settings, n_warm=n_warm, first_items=origin.items)

    async def _call(self, shard: int, method: str, *arguments: Any, **options: Any) -> Any:
        return await self._workers.ask(self._shards[shard], method, *arguments, **options)

    async def _surely(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what ``ask`` returns; if a worker was lost, bring its shard back and ask again."""
        try:
            return await ask()
        except WorkerLost as error:
            await self._recover(error)
            return await ask()

    async def _place(self, index: int, snapshot: Snapshot | None) -> Any:
        if snapshot is None:
            state = self.origin().arrays
        else:
            state = await asyncio.to_thread(shard_arrays, snapshot, index)
        arrays = None if state is None else await self._workers.share(state)
        settings, n_shards = self.ledger.settings.model_dump(), self.log.partitions
        return await self._workers.place(Shard, index, n_shards, settings, arrays, self.ledger.seq)

    async def _recover(self, error: BaseException) -> None:
        """Go back to the last snapshot and apply the journal again, on whatever workers there are now."""
        for attempt in range(_MOST_ATTEMPTS):
            self.recoveries += 1
            _log.warning("a shard was lost; going back to the last snapshot", error=str(error))
            try:
                if attempt > 0:
                    await self._workers.restart()
                await self._restore()
            except WorkerLost as again:
                error = again
                await asyncio.sleep(0.2)
            else:
                return
        raise ShardError(
            f"gave up after {_MOST_ATTEMPTS} attempts to recover; the last error: {error}"
        ) from error


def in_step(
    log: EventLog, starts: Sequence[int], ends: Sequence[int], logged: Sequence[int]
) -> tuple[int, ...]:
    """Shorten the ends of a cut so that no partition runs ahead of the others in event time.

    Where events wait, a partition with fewer of them would otherwise come to later ones in the same cut, and
    teach all shards about items before the others have answered what happened earlier.
    """
    times = [
        log.read(partition, start, end)[Columns.TIMESTAMP].cast(pa.int64()).to_numpy()
        for partition, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    latest = [np.maximum.accumulate(each) for each in times]  # events may come late
    # Some partition ends before what is logged, or there would be nothing to shorten.
    moment = min(each[-1] for each, end, last in zip(latest, ends, logged, strict=True) if end < last)
    return tuple(
        start + int(np.searchsorted(each, moment, side="right"))
        for each, start in zip(latest, starts, strict=True)
    )


def read_cut(log: EventLog, ends: Sequence[int], cut: Cut) -> list[pa.Table]:
    """Return each partition's events of a cut, where ``ends`` are those of the cut before."""
    return [
        log.read(partition, start, end)
        for partition, (start, end) in enumerate(zip(ends, cut.ends, strict=True))
    ]


def shard_arrays(snapshot: Snapshot, shard: int) -> dict[str, np.ndarray]:
    """Return one shard's state out of a snapshot: its own arrays and the item tables all share."""
    items = {f"items/{name}": array for name, array in snapshot.arrays("items/").items()}
    return items | snapshot.arrays(f"shard{shard}/")
