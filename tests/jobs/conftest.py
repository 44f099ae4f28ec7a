"""A small log and a cluster in this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from dask.distributed import Client, LocalCluster

from rtrec.events.schema import shard_of
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.types import Columns

NOW = datetime(2026, 11, 24, 5, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def events() -> pa.Table:
    return SyntheticStream(SyntheticConfig(n_users=100, n_items=60, seed=5)).events(1500)


@pytest.fixture(scope="session")
def parts(events: pa.Table) -> list[pa.Table]:
    """Return the events of two partitions."""
    shard = shard_of(events[Columns.USER_ID], 2)
    return [events.filter(pa.array(shard == number)) for number in range(2)]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
