"""`rtrec cluster tls` and `--tls`, up to a cluster of processes that is started as its output says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dask
import pytest
from dask.distributed import Client, Security

from rtrec.engine.certificates import make_certificates
from rtrec.engine.tls import read_security
from rtrec.errors import ClusterUnreachable
from rtrec.jobs.workers import dask_client
from tests.cli.samples import COLUMNS, json_lines, write_events

TLS = "tls://127.0.0.1:1"


def test_it_makes_certificates_and_says_how_to_use_them(rtrec, own_place):
    result = rtrec("cluster", "tls", "--host", "node-1, 10.0.0.2", "--days", "30", "--out", "my tls")
    assert result.exit_code == 0, result.output
    folder = own_place / "my tls"
    assert f"DASK_CONFIG='{folder}/dask.yaml' dask scheduler --protocol tls --host node-1" in result.stdout
    assert f"DASK_CONFIG='{folder}/dask.yaml' dask worker tls://node-1:8786" in result.stdout
    assert f"--scheduler tls://node-1:8786 --tls '{folder}'" in result.stdout
    assert read_security(folder)


def test_as_json_and_again(rtrec, own_place):
    [first], [again] = (json_lines(rtrec("cluster", "tls", "--json").stdout) for _ in range(2))
    assert (first["folder"], first["renewed"], again["renewed"]) == (str(own_place / "tls"), False, True)
    assert "renewed with the CA that was there" in rtrec("cluster", "tls").stdout


@pytest.mark.parametrize("words", [["--days", "0"], ["--host", "no host"], ["--out", ""], ["--out", "a.csv"]])
def test_what_cannot_be_made_exits_with_2(rtrec, own_place, words):
    (own_place / "a.csv").touch()
    assert rtrec("cluster", "tls", *words).exit_code == 2


@pytest.mark.parametrize("command", [["run", "a.csv"], ["tune", "a.csv"], ["jobs", "run", "evaluate"]])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheduler", TLS], "needs certificates; name their folder with --tls DIR"),
        (["--scheduler", TLS, "--tls", "nowhere"], "ca.crt is missing"),
        (["--scheduler", "tcp://127.0.0.1:1", "--tls", "tls"], "expected tls://host:port beside --tls"),
        (["--tls", "tls"], "name it with --scheduler tls://host:port"),
    ],
)
def test_each_command_with_a_scheduler_checks_its_certificates_first(rtrec, own_place, command, words, said):
    make_certificates(own_place / "tls")
    result = rtrec(*command, *words)
    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_the_environment_names_the_folder_for_whoever_needs_it(rtrec, own_place, monkeypatch):
    monkeypatch.setenv("RTREC_TLS", "nowhere")
    assert "ca.crt is missing" in rtrec("run", "a.csv", "--scheduler", TLS).stderr
    write_events(own_place / "events.csv")
    # Where no other machine is asked for, it says nothing.
    assert "nowhere" not in rtrec("run", "missing.csv").stderr


@dataclass(frozen=True)
class Cluster:
    scheduler: str
    folder: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a scheduler and two workers by the commands that are printed, but for the port."""
    place = tmp_path_factory.mktemp("cluster")
    said = subprocess.run(
        [sys.executable, "-m", "rtrec", "cluster", "tls"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    of_scheduler, of_worker = re.findall(r"^  DASK_CONFIG=(.*)$", said.replace("8786", port), re.MULTILINE)
    of_scheduler = of_scheduler.replace("127.0.0.1:8787", "127.0.0.1:0")
    processes = []
    try:
        for number, command in enumerate([of_scheduler, of_worker, of_worker]):
            config, dask_, *words = shlex.split(command)
            assert dask_ == "dask"
            with (place / f"{number}.log").open("w") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "dask", *words, *(["--nthreads", "1"] if number else [])],
                    env=os.environ | {"DASK_CONFIG": config},
                    cwd=place,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            processes.append(process)
        running = Cluster(f"tls://127.0.0.1:{port}", place / "tls")
        with Client(running.scheduler, security=read_security(running.folder)) as client:
            client.wait_for_workers(2, timeout=60)
        yield running
    finally:
        for some in (processes[1:], processes[:1]):  # workers whose scheduler is gone look for it first
            for process in some:
                process.terminate()
            for process in some:
                process.wait(30)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_run_and_a_job_over_tls(rtrec, own_place, cluster, monkeypatch):
    write_events(own_place / "events.csv", 300)
    words = ("run", "events.csv", *COLUMNS, "--home", "home", "--headless", "--json", "--shards", 2)
    ran = rtrec(*words, "--scheduler", cluster.scheduler, "--tls", cluster.folder)
    assert ran.exit_code == 0, ran.output
    assert "not encrypted" not in ran.stderr
    [summary] = json_lines(ran.stdout)
    assert (summary["events"], summary["tested"], summary["shards"]) == (300, 240, 2)
    monkeypatch.setenv("RTREC_TLS", str(cluster.folder))
    job = ("jobs", "run", "evaluate", "--home", "home", "--models", "popularity")
    done = rtrec(*job, "--scheduler", cluster.scheduler)
    assert done.exit_code == 0, done.output
    report = Path(done.stdout.strip()).read_text(encoding="utf-8")
    assert f"--scheduler {cluster.scheduler} --tls {cluster.folder}" in report


def refused(cluster: Cluster, security: Security | None, *, scheme: str = "tls") -> str:
    """Return what keeps a client out."""
    scheduler = cluster.scheduler.replace("tls", scheme)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        pytest.raises(ClusterUnreachable) as error,
        dask_client(scheduler, n_tasks=1, security=security),
    ):
        pass
    return str(error.value)


@pytest.mark.slow
@pytest.mark.cluster
def test_who_has_no_certificate_of_the_ca_is_refused(cluster, tmp_path):
    plain = refused(cluster, None, scheme="tcp")
    assert "closed" in plain
    assert "was started with certificates is tls://..., with --tls DIR" in plain
    assert "perhaps check your TLS configuration" in refused(cluster, None)
    # A client of another CA does not trust the scheduler ...
    stranger = make_certificates(tmp_path / "stranger").folder
    assert "TLS certificate does not match" in refused(cluster, read_security(stranger))
    # ... and one that does is not let in by it.
    shutil.copy(cluster.folder / "ca.crt", tmp_path / "ca.crt")
    trusting = read_security(stranger)
    trusting.tls_ca_file = str(tmp_path / "ca.crt")
    assert "closed" in refused(cluster, trusting)
    with dask_client(cluster.scheduler, n_tasks=1, security=read_security(cluster.folder)) as client:
        assert client.submit(abs, -3).result(30) == 3
