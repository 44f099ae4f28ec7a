"""Where tasks of jobs run, and what is said of a cluster that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import dask
import pytest
import structlog
from dask.distributed import Client

from rtrec.errors import ClusterUnreachable, InputError
from rtrec.jobs.catalogue import JobRequest
from rtrec.jobs.workers import client_for, cluster_words, dask_client

NOBODY = "tcp://127.0.0.1:1"


@pytest.mark.cluster
@pytest.mark.slow
def test_without_a_scheduler_tasks_run_in_processes_of_this_machine() -> None:
    with dask_client(None, n_tasks=2) as client:
        addresses = list(client.scheduler_info()["workers"])
        processes = set(client.run(os.getpid).values())
    assert addresses
    assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
    assert len(processes) == len(addresses)
    assert os.getpid() not in processes


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(
            ClusterUnreachable, match=f"scheduler {NOBODY} cannot be reached: .*; is it running there"
        ),
        dask_client(NOBODY, n_tasks=1),
    ):
        pass


def test_certificates_that_cannot_be_used_are_an_error_before_anything_is_started(tmp_path: Path) -> None:
    request = JobRequest(tmp_path, scheduler="tls://127.0.0.1:1", tls=tmp_path)
    with pytest.raises(InputError, match=r"ca\.crt is missing"), client_for(request, n_tasks=1):
        pass


def test_a_remote_scheduler_without_encryption_is_warned_of_and_one_in_this_process_is_not(
    client: Client,
) -> None:
    with (
        structlog.testing.capture_logs() as said,
        dask_client(client.scheduler.address, n_tasks=1) as own,
    ):
        assert own.submit(abs, -3).result() == 3
    assert said == []
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "50ms"}),
        structlog.testing.capture_logs() as said,
        pytest.raises(ClusterUnreachable),
        dask_client("tcp://192.0.2.1:8786", n_tasks=1),  # an address for documentation: nobody has it
    ):
        pass
    [warning] = said
    assert warning["log_level"] == "warning"
    assert "can run code" in warning["event"]
    assert "rtrec cluster tls" in warning["event"]


def test_a_report_says_which_cluster_it_was_made_on() -> None:
    assert cluster_words(JobRequest(Path("home"))) == []
    request = JobRequest(Path("home"), scheduler="tls://a:1", tls=Path("my tls"))
    assert cluster_words(request) == ["--scheduler", "tls://a:1", "--tls", "my tls"]
