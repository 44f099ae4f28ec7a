"""`rtrec tune`: its options reach the search, and what it finds comes out as table, JSON and files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from dask.distributed import Client, LocalCluster

from tests.cli.samples import COLUMNS, json_lines, write_events

FEW = ("--trials", 3, "--workers", 1)


@pytest.fixture
def events(tmp_path):
    return write_events(tmp_path / "events.csv", 300)


@pytest.fixture
def here(monkeypatch):
    """Run trials in threads of this process: workers of their own take seconds to start."""

    @contextmanager
    def client(scheduler, *, n_tasks, security):
        with (
            LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
            ) as cluster,
            Client(cluster) as found,
        ):
            yield found

    monkeypatch.setattr("rtrec.jobs.tuning.tune.dask_client", client)


def test_one_json_line_says_it_all(rtrec, events, here):
    result = rtrec("tune", events, *COLUMNS, *FEW, "--set", "repeat=true", "--json")
    assert result.exit_code == 0, result.stderr
    [line] = json_lines(result.stdout)
    assert line["metric"] == "ndcg@10"
    assert line["trials"] == line["complete"] + line["pruned"] == 3
    assert {"best", "difference", "difference_low", "is_clear", "events_replayed", "seconds"} <= line.keys()


def test_the_table_has_trials_and_the_verdict(rtrec, events, here):
    result = rtrec("tune", events, *COLUMNS, *FEW, "--space", "ring_length=2:8", "--metric", "hr@3")
    assert result.exit_code == 0, result.stderr
    assert "3 trials on 180 events of events.csv" in result.stdout
    for word in ("trial", "hr@3", "gain", "replayed", "ring_length"):
        assert word in result.stdout
    last = result.stdout.splitlines()[-1]
    assert "search never saw" in last or "None of 3 trials did better" in last


def test_its_files_are_for_other_commands(rtrec, events, here, tmp_path):
    words = ("tune", events, *COLUMNS, *FEW, "--set", "weight_view=2", "--out", tmp_path / "made" / "tuned")
    result = rtrec(*words)
    assert result.exit_code == 0, result.stderr
    best = tmp_path / "made" / "tuned" / "best.yaml"
    assert "weight_view: 2.0" in best.read_text()
    assert (tmp_path / "made" / "tuned" / "tuning.html").exists()
    used = rtrec("evaluate", events, *COLUMNS, "--settings", best, "--models", "default", "--json")
    assert used.exit_code == 0, used.stderr
    more = rtrec(*words[:-2], "--trials", 5, "--out", tmp_path / "made" / "tuned", "--resume", "--json")
    assert more.exit_code == 0, more.stderr
    assert json_lines(more.stdout)[0]["trials"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--space", "ring_lenght"), "did you mean 'ring_length'?"),
        (("--space", "ring_length=1:99"), "expected one within 1 to 32"),
        (("--metric", "recall@10"), "metric 'recall@10'"),
        (("--trials", 1), "'--trials'"),
        (("--holdout", 0), "--holdout 0: expected a share between 0 and 1"),
        (("--pruner", "median"), "expected one of halving, none"),
        (("--resume",), "--out DIR"),
        (("--scheduler", "nonsense"), "--scheduler 'nonsense'"),
        (("--set", "ring_length=99"), "setting 'ring_length'"),
    ],
)
def test_an_option_that_cannot_be_exits_with_2(rtrec, events, words, message):
    result = rtrec("tune", events, *COLUMNS, *words)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.timeout(500)
def test_ctrl_c_to_a_real_process_keeps_what_was_found(events, tmp_path):
    """A terminal sends the signal to the whole group: workers must not die of it with a traceback."""
    out = tmp_path / "tuned"
    command = [sys.executable, "-m", "rtrec", "tune", events, *COLUMNS, "--trials", 5000, "--workers", 1]
    process = subprocess.Popen(
        [*map(str, command), "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 240  # kernels may have to be compiled
        while not (out / "trials.json").exists() or '"complete"' not in (out / "trials.json").read_text():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "no trial was complete"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    [line] = json_lines(stdout)
    assert line["interrupted"]
    assert (out / "best.yaml").exists()
    assert "Traceback" not in stderr
