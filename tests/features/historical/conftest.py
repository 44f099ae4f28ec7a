"""Events by hand, and Dask in this thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dask
import pyarrow as pa
import pytest

from rtrec.events.schema import EVENT_SCHEMA

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
#: Seconds since 1970 of a day of the tests.
Row = tuple[str, str, float] | tuple[str, str, float, str, float | None]


def seconds(day: float) -> float:
    return BEGAN.timestamp() + day * DAY_S


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return events from (user, item, day[, kind, value]) rows."""
    columns = {name: [] for name in EVENT_SCHEMA.names}
    for number, (user, item, day, *more) in enumerate(rows):
        kind, value = more or ("view", None)
        given = (str(number), user, item, BEGAN + timedelta(days=day), kind, value, None)
        for name, cell in zip(EVENT_SCHEMA.names, given, strict=True):
            columns[name].append(cell)
    return pa.table(columns, schema=EVENT_SCHEMA)


@pytest.fixture(autouse=True)
def in_this_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="session")
def events_of() -> Callable[[Sequence[Row]], pa.Table]:
    return table_of
