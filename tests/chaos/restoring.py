"""Bring a deployment back from its files, without Dask: the same driver over shards that are just objects."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rtrec.declared import PLACES
from rtrec.engine.deployment import Deployment
from rtrec.engine.driver import Driver
from rtrec.engine.publications import publications
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.schema import shard_of
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.historical import usable_features
from rtrec.models.published import to_arrays
from rtrec.models.table_store import TableStore
from rtrec.types import Columns

#: What every deployment here is fed with.
STREAM = SyntheticStream(SyntheticConfig(n_users=120, n_items=80))


@cache
def stream_events() -> pa.Table:
    return STREAM.events(2000)


class InProcess:
    """Workers that are none."""

    async def place(self, shard: type, index: int, *arguments: Any) -> Any:
        return shard(index, *arguments)

    async def ask(
        self, placed: Any, method: str, *arguments: Any, patiently: bool = False, **options: Any
    ) -> Any:
        return getattr(placed, method)(*arguments, **options)

    async def share(self, value: Any) -> Any:
        return value

    async def restart(self) -> None:
        raise AssertionError("nobody can be lost here")


def driver_of(deployment: Deployment, log: EmbeddedLog, **options: Any) -> Driver:
    return Driver(
        deployment,
        log,
        InProcess(),  # type: ignore[arg-type]
        texts=deployment.texts(),
        categories=deployment.categories(),
        **options,
    )


def feed(log: EmbeddedLog, until: int, *, rows: int = 100) -> None:
    """Accept what comes next of the stream, in pieces, up to its first ``until`` events."""
    position = log.position(STREAM.name)
    while position < until:
        events = stream_events().slice(position, min(rows, until - position))
        shards = shard_of(events[Columns.USER_ID], log.partitions)
        parts = [events.filter(pa.array(shards == shard)) for shard in range(log.partitions)]
        position += events.num_rows
        log.append(parts, source=STREAM.name, position=position, counts={"accepted": position})


def restored(home: Path, until: int) -> dict[str, str]:
    """Return what a run comes to that finds such a home and feeds it up to ``until`` events, as digests.

    ``state`` is everything that must be there: state, events, controls, published tables. The others are what
    may be missing, and is made again, or done without, where it is damaged: features, models, titles. How the
    log is cut is in none of them: with one shard that is all the same.
    """
    return asyncio.run(_restored(home, until))


async def _restored(home: Path, until: int) -> dict[str, str]:
    deployment, store = Deployment(home), TableStore(home)
    deployment.refuse_remains()
    state = hashlib.blake2b(digest_size=16)
    found = {}
    if titles := deployment.keep_titles(None):
        found["titles"] = _digest(titles)
    _take(state, deployment.manifest)
    with closing(deployment.open_log()) as log:
        driver = driver_of(deployment, log, batch_events=150, snapshot_every=10**9)
        await driver.start()
        await driver.advance()
        feed(log, until)
        await driver.advance()
        states = await asyncio.gather(
            *(driver._call(i, "arrays", driver._agreement, items=i == 0) for i in range(log.partitions))
        )
        for arrays in (driver.ledger.to_arrays(), *states):
            _take_arrays(state, arrays)
        manifest = driver.ledger.to_manifest()
        _take(state, {name: value for name, value in manifest.items() if name != "seq"})
        for partition in range(log.partitions):
            _take(state, log.read(partition, 0).to_pylist())
        _take(
            state,
            [each.body for each in log.controls()],
            log.dead_letter_counts(),
            list(log.recent_event_ids(50)),
        )
        for each in publications(log):
            if each.state == "live":
                table = store.read(each.slot, each.body["version"], each.body["seal"])
                _take_arrays(state, to_arrays(table))
    found["state"] = state.hexdigest()
    if (features := usable_features(deployment.features)) is not None:
        found["features"] = _digest(features.to_manifest(), **features.to_arrays())
    for slot in PLACES:
        if (model := store.read_model(slot, {})) is not None:
            found[f"model for {slot}"] = _digest(model[1], **model[0])
    return found


def _digest(*values: Any, **arrays: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _take(digest, *values)
    _take_arrays(digest, arrays)
    return digest.hexdigest()


def _take(digest: Any, *values: Any) -> None:
    digest.update(json.dumps(values, sort_keys=True, default=str).encode())


def _take_arrays(digest: Any, arrays: dict[str, np.ndarray]) -> None:
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
