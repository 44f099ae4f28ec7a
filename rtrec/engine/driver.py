"""The driver: apply the log to the shards, cut by cut; snapshot; recover.

There is one way to state: the newest good snapshot, then the cuts journaled behind it, then what the log
holds that no cut covers yet. A new run, a restart after a kill and a lost worker all take it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from rtrec.engine.checkpoints import Checkpoints
from rtrec.engine.cluster import Workers
from rtrec.engine.cutting import in_step, read_cut
from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.exchange import Agreement, Outcome, agree, cut_up, in_common_order
from rtrec.engine.ledger import Ledger
from rtrec.engine.origin import Origin, origin_of
from rtrec.engine.publications import read_publications
from rtrec.engine.recovery import Recovery
from rtrec.engine.shard import Shard
from rtrec.engine.status import Phase
from rtrec.engine.storage import Storage
from rtrec.engine.versions import clear_undone
from rtrec.errors import CorruptionError, WorkerLost
from rtrec.events.log import Cut, EventLog
from rtrec.events.schema import shard_of
from rtrec.failpoints import failpoint
from rtrec.features.categories import Categories
from rtrec.models.explain import Answer
from rtrec.models.guard import is_frozen
from rtrec.models.kernel import RACERS
from rtrec.models.ranker import Ranker, new_ranker, ranker_of
from rtrec.models.snapshot import Snapshot, latest_snapshot
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings

#: A cut takes 5 ms to replay, however few events it has, so there is a snapshot behind so many of them,
_MOST_CUTS = 300
#: unless that takes more of the time than this: disks wear out.
_MOST_SHARE = 0.02


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
        Events between two snapshots. Where they come in small cuts there are others in between, which do not
        stay: there must never be many cuts to replay.
    keep
        How many snapshots are kept; a what-if starts from the newest one old enough.
    storage
        Waits for the disk, and is told what it did not take.
    say
        Is told what a way back to state is at.
    monotonic
        A clock for how long that takes.

    Attributes
    ----------
    ledger
        What was learned so far.
    recovery
        Brings lost shards back.
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
        storage: Storage | None = None,
        say: Callable[[Phase, str], None] = lambda phase, message: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deployment = deployment
        self.log = log
        self.ledger = self._empty_ledger(Origin())
        self.recovery = Recovery(self._restore, workers.restart, say=say, monotonic=monotonic)
        self._workers = workers
        self._tables = TableStore(deployment.home)
        self._known = texts, categories
        self._origin: Origin | None = None
        self._batch_events = batch_events
        self._snapshot_every = snapshot_every
        self._storage = storage or Storage(deployment.home)
        self._checkpoints = Checkpoints(deployment, log, keep=keep, storage=self._storage)
        self._say = say
        self._monotonic = monotonic
        self._shards: list[Any] = []
        self._agreement: Agreement | None = None
        self._ranker: Ranker = new_ranker()
        self._snapshot_at = 0  # events in the last snapshot that stays
        self._snapshot_cut = 0  # the last cut in the last snapshot
        self._taken_at, self._taking_s = monotonic(), 0.0
        self._in_doubt = False  # whether it is not known if the last cut was journaled

    @property
    def snapshot_name(self) -> str:
        """Return the name of the last snapshot that is on disk; empty before any."""
        return self._checkpoints.newest

    @property
    def snapshot_events(self) -> int:
        """Return how many events were learned when that was taken."""
        return self._checkpoints.newest_events

    async def start(self) -> None:
        """Come to the state that the log has, for the first time."""
        await self.recovery.start()
        await asyncio.to_thread(clear_undone, self.deployment, self.ledger.seq)

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
            self._checkpoints.newest = snapshot.path.name
            self._checkpoints.newest_events = self.ledger.n_events
        self._agreement = None
        self._snapshot_at, self._snapshot_cut = self.ledger.n_events, self.ledger.seq
        self._shards = list(
            await asyncio.gather(*(self._place(i, snapshot) for i in range(self.log.partitions)))
        )
        self._say(
            Phase.STARTING,
            "loading kernels: a second, or half a minute where they are compiled for the first time",
        )
        await asyncio.gather(*(self._call(i, "compile", patiently=True) for i in range(len(self._shards))))
        self._say(Phase.RECOVERING, "replaying the log behind the last snapshot")
        for cut in await asyncio.to_thread(self._cuts_behind_snapshot):
            await self._apply(cut)

    def _cuts_behind_snapshot(self) -> list[Cut]:
        """Return the cuts to replay.

        Raises
        ------
        CorruptionError
            If the journal ends before the snapshot: what it confirmed is not there any more.
        """
        try:
            return self.log.cuts(self.ledger.seq)
        except ValueError as error:
            raise CorruptionError(
                f"snapshot {self.deployment.snapshots / self.snapshot_name}: {error}: the end of the log is "
                "lost; restore log and snapshots from one copy"
            ) from error

    async def advance(
        self, learned: Callable[[int], None] = lambda _: None, *, until: int | None = None
    ) -> None:
        """Cut what the log has beyond the last cut and apply it, until nothing is left.

        After each cut ``learned`` is told how many events are learned in all. Behind ``until`` events (with
        several partitions: at the first cut that reaches so many) only controls are taken.
        """
        while True:
            ends, n_controls = await self._storage.keep_trying("Learning", lambda: self._next_ends(until))
            if ends == self.ledger.ends and n_controls == self.ledger.n_controls:
                return
            cut = await self._storage.keep_trying("Learning", partial(self._journal, ends, n_controls))
            try:
                await self._apply(cut)
            except WorkerLost as error:  # the cut is in the journal, so it is applied on the way
                await self.recovery.bring_back(error)
            learned(self.ledger.n_events)
            if self.ledger.n_events - self._snapshot_at >= self._snapshot_every:
                await self.snapshot()
            elif self.ledger.seq - self._snapshot_cut >= _MOST_CUTS and self._may_snapshot():
                await self.snapshot(passing=True)

    def _may_snapshot(self) -> bool:
        """Say whether the last snapshot took little enough of the time since."""
        took_s = self._taking_s + self._checkpoints.last_s
        return took_s <= _MOST_SHARE * (self._monotonic() - self._taken_at)

    async def snapshot(self, *, passing: bool = False) -> None:
        """Take the state as it is now and begin to write it; the stream goes on meanwhile.

        One snapshot is written at a time: this waits for the one before. A ``passing`` one does not stay.
        """
        began = self._monotonic()
        await self.written()
        with failpoint("driver.snapshot"):
            states = await self.recovery.surely(
                lambda: asyncio.gather(
                    *(
                        self._call(i, "arrays", self._agreement, items=i == 0)
                        for i in range(len(self._shards))
                    )
                )
            )
        arrays = {
            name if name.startswith("items/") else f"shard{shard}/{name}": array
            for shard, state in enumerate(states)
            for name, array in state.items()
        }
        self._snapshot_at = self._snapshot_at if passing else self.ledger.n_events
        self._snapshot_cut = self.ledger.seq
        self._taken_at = self._monotonic()
        self._taking_s = self._taken_at - began
        self._checkpoints.begin(
            f"{self.ledger.seq:012d}",
            arrays,
            self.ledger.arrays_as_of_now(),
            self.ledger.to_manifest(),
            passing=passing,
        )

    async def written(self) -> None:
        """Wait until the last snapshot is on disk, or given up."""
        await self._checkpoints.written()

    async def answer(self, user_id: str, k: int) -> tuple[Answer, bool]:
        """Answer a user now; also say whether she is known."""
        shard = int(shard_of([user_id], len(self._shards))[0])
        user = int(self.ledger.numbering.users[shard].lookup([user_id])[0])
        now = self.ledger.last_time if self.ledger.n_events else 0.0
        answer = await self.recovery.surely(
            lambda: self._call(shard, "answer", self._agreement, user, now, k)
        )
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
            for place, found in zip(places, await self.recovery.surely(ask), strict=True):
                answers[place] = found
        return answers

    async def coverage(self) -> dict[str, float]:
        """Return for each racer the share of known items it has recommended to anybody."""
        seen = await self.recovery.surely(
            lambda: asyncio.gather(*(self._call(i, "coverage") for i in range(len(self._shards))))
        )
        width = max(shown.shape[1] for shown, _ in seen)
        union = np.zeros((len(RACERS), width), np.bool_)
        for shown, _ in seen:
            union[:, : shown.shape[1]] |= shown.astype(np.bool_)
        known = max(max(n_known for _, n_known in seen), 1)
        return {racer: float(union[place].sum() / known) for place, racer in enumerate(RACERS)}

    def _journal(self, ends: Sequence[int], n_controls: int) -> Cut:
        """Journal the next cut; the second time only if it is not there, for an error may hide that it is."""
        there = self.log.cuts(self.ledger.seq) if self._in_doubt else []
        self._in_doubt = True
        cut = there[0] if there else self.log.cut(ends, n_controls)
        self._in_doubt = False
        return cut

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
        read = partial(read_cut, self.log, self.ledger.ends, cut)
        tables = await self._storage.keep_trying("Learning", read)
        controls = await self._storage.keep_trying(
            "Learning", partial(self.log.controls, self.ledger.n_controls, cut.controls)
        )
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
            asked=self.ledger.sampling.asked(self.ledger.n_events, sum(part.n_events for part in parts)),
        )
        base = self._ranker
        with failpoint("driver.apply"):
            outcomes: Sequence[Outcome] = await asyncio.gather(
                *(self._call(i, "step", batch) for i, batch in enumerate(batches))
            )
        refused, self._ranker = False, outcomes[0].ranker
        if len(outcomes) > 1:
            self._agreement = agree(cut.seq, base, outcomes, order)
            refused, self._ranker = self._agreement.refused, self._agreement.ranker
        ranks = np.concatenate([each.ranks for each in outcomes])[order]
        items = np.concatenate([part.item_num for part in parts])
        starts, n_before = self.ledger.ends, self.ledger.n_events
        self.ledger.take(cut, ranks, in_common_order(parts), items)
        self.ledger.quarantine.take(
            cut,
            starts,
            [each.faults for each in outcomes],
            frozen=is_frozen(self._ranker),
            together=refused,
            n_before=n_before,
            time=self.ledger.last_time,
        )

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

    async def _place(self, index: int, snapshot: Snapshot | None) -> Any:
        if snapshot is None:
            state = self.origin().arrays
        else:
            state = await asyncio.to_thread(shard_arrays, snapshot, index)
        arrays = None if state is None else await self._workers.share(state)
        settings, n_shards = self.ledger.settings.model_dump(), self.log.partitions
        return await self._workers.place(Shard, index, n_shards, settings, arrays, self.ledger.seq)


def shard_arrays(snapshot: Snapshot, shard: int) -> dict[str, np.ndarray]:
    """Return one shard's state out of a snapshot: its own arrays and the item tables all share."""
    items = {f"items/{name}": array for name, array in snapshot.arrays("items/").items()}
    return items | snapshot.arrays(f"shard{shard}/")
