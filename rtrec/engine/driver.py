"""The driver: apply the log to the shards, cut by cut; snapshot; recover.

There is one way to state: the newest good snapshot, then the cuts journaled behind it, then what the log
holds that no cut covers yet. A new run, a restart after a kill and a lost worker all take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import structlog

from rtrec.engine.cluster import Workers
from rtrec.engine.deployment import Deployment
from rtrec.engine.exchange import Agreement, Outcome, agree, cut_up, in_common_order
from rtrec.engine.ledger import Ledger
from rtrec.engine.shard import Shard
from rtrec.errors import ShardError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.log import Cut
from rtrec.events.schema import shard_of
from rtrec.models.explain import Answer
from rtrec.models.kernel import RACERS
from rtrec.models.ranker import Ranker, new_ranker
from rtrec.models.snapshot import (
    Snapshot,
    latest_snapshot,
    list_snapshots,
    prune_snapshots,
    read_snapshot,
    write_snapshot,
)
from rtrec.settings import Settings

_log = structlog.get_logger(__name__)
#: What a lost worker looks like to whoever calls its actor.
LOST = (OSError, RuntimeError, ShardError, asyncio.TimeoutError)
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
    batch_events
        How many events of a partition make a cut, at the most.
    snapshot_every
        Events between two snapshots.
    keep
        How many snapshots are kept; a what-if starts from the newest one old enough.
    """

    def __init__(
        self,
        deployment: Deployment,
        log: EmbeddedLog,
        workers: Workers,
        *,
        batch_events: int = 1000,
        snapshot_every: int = 20_000,
        keep: int = 4,
        timeout_s: float = 120.0,
    ) -> None:
        self.deployment = deployment
        self.log = log
        self.ledger = self._empty_ledger()
        self.snapshot_name = ""
        self.recoveries = 0
        self._workers = workers
        self._batch_events = batch_events
        self._snapshot_every = snapshot_every
        self._keep = keep
        self._timeout_s = timeout_s
        self._shards: list[Any] = []
        self._agreement: Agreement | None = None
        self._ranker: Ranker = new_ranker()
        self._snapshot_at = 0
        self._writing: asyncio.Task[str] | None = None

    async def restore(self) -> None:
        """Load the newest good snapshot and apply all cuts behind it."""
        await self.written()
        snapshot = await asyncio.to_thread(latest_snapshot, self.deployment.snapshots)
        if snapshot is None:
            self.ledger = self._empty_ledger()
            self._ranker = new_ranker()
        else:
            self.ledger = Ledger.from_snapshot(snapshot)
            state = shard_arrays(snapshot, 0)
            self._ranker = Ranker(*(state[f"ranker/{name}"] for name in Ranker._fields))
            self.snapshot_name = snapshot.path.name
        self._agreement = None
        self._snapshot_at = self.ledger.n_events
        self._shards = list(
            await asyncio.gather(*(self._place(i, snapshot) for i in range(self.log.partitions)))
        )
        for cut in await asyncio.to_thread(self.log.cuts, self.ledger.seq):
            await self._apply(cut)

    async def advance(self) -> None:
        """Cut what the log has beyond the last cut and apply it, until nothing is left."""
        while True:
            ends, n_controls = await asyncio.to_thread(self._next_ends)
            if ends == self.ledger.ends and n_controls == self.ledger.n_controls:
                return
            cut = await asyncio.to_thread(self.log.cut, ends, n_controls)
            try:
                await self._apply(cut)
            except LOST as error:
                await self._recover(error)
            if self.ledger.n_events - self._snapshot_at >= self._snapshot_every:
                await self.snapshot()

    async def snapshot(self) -> None:
        """Take the state as it is now and begin to write it; the stream goes on meanwhile.

        One snapshot is written at a time: this waits for the one before, and raises what that raised.
        """
        await self.written()
        states = await asyncio.gather(
            *(self._call(i, "arrays", self._agreement, items=i == 0) for i in range(len(self._shards)))
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
        if prune_snapshots(folder, self._keep):
            oldest = read_snapshot(list_snapshots(folder)[0], mmap=True, verify=False).manifest
            self.log.compact(oldest["ends"], oldest["seq"])
        return name

    async def answer(self, user_id: str, k: int) -> tuple[Answer, bool]:
        """Answer a user now; also say whether she is known."""
        shard = int(shard_of([user_id], len(self._shards))[0])
        user = int(self.ledger.users[shard].lookup([user_id])[0])
        now = self.ledger.last_time if self.ledger.n_events else 0.0
        return await self._call(shard, "answer", self._agreement, user, now, k), user >= 0

    async def coverage(self) -> dict[str, float]:
        """Return for each racer the share of known items it has recommended to anybody."""
        if not self._shards:
            return dict.fromkeys(RACERS, 0.0)
        seen = await asyncio.gather(*(self._call(i, "coverage") for i in range(len(self._shards))))
        width = max(shown.shape[1] for shown, _ in seen)
        union = np.zeros((len(RACERS), width), np.bool_)
        for shown, _ in seen:
            union[:, : shown.shape[1]] |= shown.astype(np.bool_)
        known = max(max(n_known for _, n_known in seen), 1)
        return {racer: float(union[place].sum() / known) for place, racer in enumerate(RACERS)}

    def _next_ends(self) -> tuple[tuple[int, ...], int]:
        ends = tuple(
            min(end, start + self._batch_events)
            for start, end in zip(self.ledger.ends, self.log.ends(), strict=True)
        )
        return ends, self.ledger.n_controls + len(self.log.controls(self.ledger.n_controls))

    async def _apply(self, cut: Cut) -> None:
        """Let the shards test and learn a cut, and book it."""
        tables = await asyncio.to_thread(read_cut, self.log, self.ledger.ends, cut)
        controls = await asyncio.to_thread(self.log.controls, self.ledger.n_controls, cut.controls)
        settings = self.ledger.change(controls)
        parts = self.ledger.number(tables)
        n_warm = max(self.ledger.n_warm - self.ledger.n_events, 0)
        batches, order = cut_up(cut.seq, parts, n_warm, settings=settings, agreement=self._agreement)
        outcomes: Sequence[Outcome] = await asyncio.gather(
            *(self._call(i, "step", batch) for i, batch in enumerate(batches))
        )
        if len(outcomes) > 1:
            self._agreement = agree(cut.seq, self._ranker, outcomes, order)
            self._ranker = self._agreement.ranker
        ranks = np.concatenate([each.ranks for each in outcomes])[order]
        self.ledger.take(cut, ranks, in_common_order(parts))

    def _empty_ledger(self) -> Ledger:
        manifest = self.deployment.manifest
        settings = Settings(**manifest["settings"])
        return Ledger(manifest["shards"], settings, n_warm=manifest["warmup_events"])

    async def _call(self, shard: int, method: str, *arguments: Any, **options: Any) -> Any:
        handle = self._shards[shard]
        return await asyncio.wait_for(getattr(handle, method)(*arguments, **options), self._timeout_s)

    async def _place(self, index: int, snapshot: Snapshot | None) -> Any:
        arrays = None
        if snapshot is not None:
            state = await asyncio.to_thread(shard_arrays, snapshot, index)
            arrays = await self._workers.share(state)
        settings, n_shards = self.ledger.settings.model_dump(), self.log.partitions
        return await self._workers.place(Shard, index, n_shards, settings, arrays, self.ledger.seq)

    async def _recover(self, error: BaseException) -> None:
        """Go back to the last snapshot and apply the journal again, on whatever workers there are now."""
        for _ in range(_MOST_ATTEMPTS):
            self.recoveries += 1
            _log.warning("a shard was lost; going back to the last snapshot", error=str(error))
            try:
                await self.restore()
            except LOST as again:
                error = again
                await asyncio.sleep(0.2)
            else:
                return
        raise ShardError(
            f"gave up after {_MOST_ATTEMPTS} attempts to recover; the last error: {error}"
        ) from error


def read_cut(log: EmbeddedLog, ends: Sequence[int], cut: Cut) -> list[pa.Table]:
    """Return each partition's events of a cut, where ``ends`` are those of the cut before."""
    return [
        log.read(partition, start, end)
        for partition, (start, end) in enumerate(zip(ends, cut.ends, strict=True))
    ]


def shard_arrays(snapshot: Snapshot, shard: int) -> dict[str, np.ndarray]:
    """Return one shard's state out of a snapshot: its own arrays and the item tables all share."""
    items = {f"items/{name}": array for name, array in snapshot.arrays("items/").items()}
    return items | snapshot.arrays(f"shard{shard}/")
