"""`rtrec jobs`: what is asked for reaches the job, and the file it wrote is printed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from rtrec.engine.deployment import Deployment
from rtrec.jobs.catalogue import JOBS, Job
from rtrec.settings import Settings
from tests.cli.samples import COLUMNS, json_lines, write_events


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Replace the job by one that keeps what it was asked; return those requests."""
    Deployment(tmp_path / "home").create(
        {"shards": 1, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()}
    )
    requests = []

    def run(request):
        requests.append(request)
        request.progress("default", 1, 1)
        return Path("report.html")

    monkeypatch.setitem(JOBS, "evaluate", Job(run, "look closely"))
    return requests


def test_list(rtrec):
    assert [line["job"] for line in json_lines(rtrec("jobs", "list", "--json").stdout)] == list(JOBS)
    assert JOBS["evaluate"].sentence in rtrec("jobs", "list").stdout


def test_run_once(rtrec, asked):
    words = ("--models", "default, popularity", "--scheduler", "tcp://127.0.0.1:1")
    result = rtrec("jobs", "run", "evaluate", "--home", "home", *words)
    assert (result.exit_code, result.stdout) == (0, "report.html\n")
    [request] = asked
    assert (request.home, request.models) == (Path("home"), ("default", "popularity"))
    assert request.scheduler == "tcp://127.0.0.1:1"


def test_run_every_hour(rtrec, asked, monkeypatch):
    intervals = []

    def run_twice(interval, action):
        intervals.append(interval)
        action()
        action()

    monkeypatch.setattr("rtrec.jobs.schedule.run_every", run_twice)
    result = rtrec("jobs", "run", "evaluate", "--home", "home", "--every", "1h")
    assert (result.exit_code, result.stdout) == (0, "report.html\n" * 2)
    assert intervals == [timedelta(hours=1)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evalute"], "unknown job 'evalute'; did you mean 'evaluate'?"),
        (["evaluate", "--scheduler", "here:1"], "--scheduler 'here:1': expected tcp://host:port"),
        (["evaluate", "--every", "hourly"], "interval 'hourly': expected a number and s, m, h or d"),
    ],
)
def test_what_cannot_be_exits_with_2(rtrec, asked, words, expected):
    result = rtrec("jobs", "run", *words, "--home", "home")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert asked == []


@pytest.mark.slow
@pytest.mark.cluster
def test_a_report_on_a_real_run(rtrec, rtrec_process, tmp_path, in_threads):
    events = write_events(tmp_path / "events.csv")
    assert rtrec("run", events, *COLUMNS, "--home", "home", "--headless").exit_code == 0
    result = rtrec_process("jobs", "run", "evaluate", "--home", "home", "--models", "popularity,transitions")
    assert result.returncode == 0, result.stderr
    report = Path(result.stdout.splitlines()[-1])
    assert report.parent == Path("home/reports")
    assert "transitions" in (tmp_path / report).read_text()
