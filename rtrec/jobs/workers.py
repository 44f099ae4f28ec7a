"""Where the tasks of a job run: on a cluster that is there, or in processes of this machine for its time."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog
from dask.distributed import Client, LocalCluster, Security

from rtrec.engine.cluster import ctrl_c_kept_from_children
from rtrec.engine.tls import greet, risk_of, security_for
from rtrec.jobs.request import JobRequest

_log = structlog.get_logger(__name__)


@contextmanager
def dask_client(scheduler: str | None, *, n_tasks: int, security: Security | None = None) -> Iterator[Client]:
    """Connect to a scheduler, or start a process a task on this machine, but no more than it has cores.

    Raises
    ------
    ClusterUnreachable
        If the scheduler cannot be reached.
    """
    if scheduler is not None:
        if risk := risk_of(scheduler):
            _log.warning(risk)
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop at work in this one
            thread.submit(asyncio.run, greet(scheduler, security)).result()
        with Client(scheduler, security=security) as client:
            yield client
        return
    with ctrl_c_kept_from_children():
        cluster = LocalCluster(
            n_workers=min(n_tasks, os.cpu_count() or 1),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},  # it knows no login, and nobody is told where it is
            # What a task raises comes back with its future. The rest is about the end: a worker that is ended
            # late on a busy machine, or whose heartbeat meets a scheduler that has just closed.
            silence_logs=logging.CRITICAL,
        )
    with cluster, Client(cluster) as client:
        yield client


@contextmanager
def client_for(request: JobRequest, *, n_tasks: int) -> Iterator[Client]:
    """Connect as a job was asked to.

    Raises
    ------
    InputError, ClusterUnreachable
        If its certificates cannot be used, or its scheduler cannot be reached.
    """
    security = security_for(request.scheduler, request.tls)
    with dask_client(request.scheduler, n_tasks=n_tasks, security=security) as client:
        yield client


def cluster_words(request: JobRequest) -> list[str]:
    """Return the options of the command line that name the cluster of a job."""
    given = {"--scheduler": request.scheduler, "--tls": request.tls}
    return [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
