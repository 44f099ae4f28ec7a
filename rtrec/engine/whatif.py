"""What if: replay the last events under other settings, from a snapshot, without touching the live state.

A replay is a pure function of state, settings and events: it runs as a Dask task, one a variant. Both
variants go through the same events with the same cuts, so every difference between them is the change's
doing. They test the events that the stream tested: where that was only a share, so is it here, the interval
is wider, and the variant without the change still comes to what the stream came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtrec.engine.cluster import Workers
from rtrec.engine.cutting import read_cut
from rtrec.engine.deployment import SNAPSHOT_NAME, Deployment
from rtrec.engine.driver import shard_arrays
from rtrec.engine.exchange import Agreement, agree, cut_up, in_common_order
from rtrec.engine.ledger import Ledger
from rtrec.engine.origin import Origin
from rtrec.engine.publications import PUBLISH, read_publications
from rtrec.engine.sampling import SAMPLE, Asked
from rtrec.engine.shard import Shard
from rtrec.errors import InputError
from rtrec.evaluation.comparison import Comparison, compare
from rtrec.events.log import Control, EventLog
from rtrec.events.numbering import Numbering
from rtrec.models.base import Ranks
from rtrec.models.kernel import UNTESTED
from rtrec.models.published import Published
from rtrec.models.ranker import new_ranker, ranker_of
from rtrec.models.snapshot import latest_snapshot
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from rtrec.types import Floats, Forgetting, NumberedEvents


@dataclass(frozen=True)
class RecentPast:
    """The last events, and a state from before them.

    Attributes
    ----------
    start
        Number of the first event in ``cuts``: the state holds all before it.
    first
        Number of the first event to be compared; those between warm up the change.
    states
        Each shard's arrays; None starts with nothing.
    learned_under
        Settings that ``states`` were learned under.
    settings
        Settings as they are now.
    cuts
        Each cut's events by shard.
    published
        What each cut puts in place, by slot.
    forgetting
        What each shard forgets in each cut.
    asked
        Which events of each cut are tested, in their common order; None: all of them.
    timestamps
        Of all events in their common order, shape ``(event,)``.
    n_warm
        How many of the first events only warm up: they were never tested.
    """

    start: int
    first: int
    states: list[dict[str, np.ndarray]] | None
    learned_under: Settings
    settings: Settings
    cuts: list[list[NumberedEvents]]
    published: list[dict[str, Published]]
    forgetting: list[list[tuple[Forgetting, ...]]]
    asked: list[Asked | None]
    timestamps: Floats
    n_warm: int


def recent_past(
    log: EventLog, ledger: Ledger, home: Path, n_events: int, origin: Callable[[], Origin] = Origin
) -> RecentPast:
    """Return the last ``n_events`` with the newest state that is older; nothing may be learned meanwhile.

    Raises
    ------
    InputError
        If no event has been learned, or a table of that time has been deleted since.
    """
    if not ledger.n_events:
        raise InputError("nothing to replay yet: no event has been learned")
    first, n_shards = max(ledger.n_events - n_events, 0), log.partitions
    states, store, beginning = None, TableStore(home), origin()
    snapshot = latest_snapshot(
        Deployment(home).snapshots,
        named=SNAPSHOT_NAME,
        accept=lambda manifest: manifest["n_events"] <= first,
    )
    if snapshot is not None:
        old = Ledger.from_snapshot(snapshot)
        states = [shard_arrays(snapshot, shard) for shard in range(n_shards)]
    else:
        old = Ledger(n_shards, ledger.settings, n_warm=ledger.n_warm, first_items=beginning.items)
        if beginning.arrays is not None:
            states = [beginning.arrays] * n_shards
    start, at, ends, n_controls = old.n_events, old.n_events, old.ends, old.n_controls
    cuts, published, forgetting, timestamps = [], [], [], []
    asked: list[Asked | None] = []
    sampling = old.sampling
    for cut in log.cuts(old.seq):
        if cut.seq > ledger.seq:
            break
        controls = log.controls(n_controls, cut.controls)
        published.append(_tables_of(store, controls, old.numbering, ledger, n_events))
        for control in controls:
            if control.body.get("control") == SAMPLE:
                sampling = sampling.take(control, at)
        parts, gone = old.numbering.number(read_cut(log, ends, cut), at)
        cuts.append(parts)
        forgetting.append(gone)
        timestamps.append(in_common_order(parts))
        asked.append(sampling.asked(at, len(timestamps[-1])))
        at, ends, n_controls = at + len(timestamps[-1]), cut.ends, cut.controls
    return RecentPast(
        start,
        first,
        states,
        old.settings,
        ledger.settings,
        cuts,
        published,
        forgetting,
        asked,
        np.concatenate(timestamps),
        n_warm=max(ledger.n_warm - start, 0),
    )


def _tables_of(
    store: TableStore, controls: Sequence[Control], numbering: Numbering, ledger: Ledger, n_events: int
) -> dict[str, Published]:
    """Return the tables that a cut put in place.

    Raises
    ------
    InputError
        If one is gone: only what snapshots need is kept.
    """
    for control in controls:
        body = control.body
        if body.get("control") == PUBLISH and not store.path(body["slot"], body["version"]).exists():
            raise InputError(
                f"a replay of the last {n_events:,} events comes by table {body['version']!r} of slot "
                f"{body['slot']!r}, which is deleted: it was replaced before the oldest snapshot; "
                f"replay fewer of the {ledger.n_events:,} events"
            )
    return read_publications(store, controls, numbering)


async def compare_settings(workers: Workers, past: RecentPast, changed: Settings) -> Comparison:
    """Replay the past under ``changed`` settings and under those there are, a task each, and compare."""
    cuts = await workers.share(past.cuts)
    published = await workers.share(past.published)
    forgetting = await workers.share(past.forgetting)
    asked = await workers.share(past.asked)
    states = None if past.states is None else await workers.share(past.states)
    before, n_shards = past.learned_under.model_dump(), len(past.cuts[0])
    ranks_changed, ranks_now = await asyncio.gather(
        *(
            workers.run(
                replay,
                states,
                before,
                settings.model_dump(),
                cuts,
                n_shards,
                past.n_warm,
                published,
                forgetting,
                asked,
            )
            for settings in (changed, past.settings)
        )
    )
    offsets = past.start + np.arange(len(ranks_now))
    tested = np.flatnonzero((ranks_now != UNTESTED) & (offsets >= past.first))
    if not len(tested):
        n_replayed = past.start + len(offsets) - past.first
        raise InputError(
            f"nothing to compare: none of the last {n_replayed:,} events was tested; replay more of them"
        )
    return compare(
        ranks_changed[tested],
        ranks_now[tested],
        past.settings.list_length,
        names=("changed", "as it is"),
        timestamps=past.timestamps[tested],
        offsets=offsets[tested],
    )


def replay(
    states: Sequence[Mapping[str, np.ndarray]] | None,
    before: Mapping[str, Any],
    settings: Mapping[str, Any],
    cuts: Sequence[Sequence[NumberedEvents]],
    n_shards: int,
    n_warm: int = 0,
    published: Sequence[Mapping[str, Published]] | None = None,
    forgetting: Sequence[Sequence[tuple[Forgetting, ...]]] | None = None,
    asked: Sequence[Asked | None] | None = None,
) -> Ranks:
    """Return the default model's rank of every event, in the common order, shape ``(event,)``.

    Parameters
    ----------
    states
        Each shard's arrays to start from; None starts with nothing.
    before
        The settings those arrays were learned under.
    settings
        The settings to go on under, from the first event on.
    cuts
        Each cut's events by shard.
    n_warm
        How many of the first events are learned and not tested.
    published
        What each cut puts in place, by slot; None: none does anything.
    forgetting
        What each shard forgets in each cut; None: nothing.
    asked
        Which events of each cut are tested, in their common order; None: all of them.
    """
    shards = [Shard(i, n_shards, before, states[i] if states is not None else None) for i in range(n_shards)]
    ranker = new_ranker()
    if states is not None:
        ranker = ranker_of(states[0])
    changed: Settings | None = Settings(**settings)
    agreement: Agreement | None = None
    ranks = []
    for seq, parts in enumerate(cuts, start=1):
        tables = published[seq - 1] if published is not None else {}
        gone = forgetting[seq - 1] if forgetting is not None else None
        batches, order = cut_up(
            seq,
            parts,
            n_warm,
            settings=changed,
            published=tables,
            forgetting=gone,
            agreement=agreement,
            asked=asked[seq - 1] if asked is not None else None,
        )
        outcomes = [shard.step(batch) for shard, batch in zip(shards, batches, strict=True)]
        changed, n_warm = None, max(n_warm - len(order), 0)
        if n_shards > 1:
            agreement = agree(seq, ranker, outcomes, order)
            ranker = agreement.ranker
        ranks.append(np.concatenate([each.ranks[:, 0] for each in outcomes])[order])
    return np.concatenate(ranks) if ranks else np.zeros(0, np.int16)
