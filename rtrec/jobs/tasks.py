"""Where the tasks of a job run: on a cluster that is there, or on one for the time of the job."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from dask.distributed import Client, LocalCluster

from rtrec.engine.cluster import ctrl_c_kept_from_children


@contextmanager
def dask_client(scheduler: str | None, *, n_tasks: int) -> Iterator[Client]:
    """Connect to a scheduler, or start a process a task on this machine, but no more than it has cores."""
    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    with ctrl_c_kept_from_children():
        cluster = LocalCluster(
            n_workers=min(n_tasks, os.cpu_count() or 1),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # What a task raises comes back with its future. The rest is about the end: a worker that is ended
            # late on a busy machine, or whose heartbeat meets a scheduler that has just closed.
            silence_logs=logging.CRITICAL,
        )
    with cluster, Client(cluster) as client:
        yield client
