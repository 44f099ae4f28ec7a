"""One run that nothing disturbs, for the tests of a module that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtrec.engine.live import LiveRun
from tests.engine.live_runs import finished, start


@pytest.fixture(scope="module")  # while it is open it is the default of Dask in this process
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    with start(tmp_path_factory.mktemp("undisturbed")) as run:
        yield finished(run)
