"""`rtrec run` from its words to its summary; the engine itself is tested in tests/engine."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

from rtrec.errors import InputError
from tests.cli.samples import COLUMNS, json_lines, write_events

WANTED = {
    "model",
    "events",
    "hr@10",
    "ndcg@10",
    "coverage@10",
    "seconds",
    "events_per_s",
    "offset",
    "dead_letters",
}


@pytest.fixture
def events(tmp_path):
    return write_events(tmp_path / "events.csv")


@pytest.fixture
def many_items(tmp_path):
    """Return events on thirty items drawn at random: three times as many as a list has room for."""
    draw = random.Random(7)
    return write_events(tmp_path / "events.csv", item=[f"i{draw.randrange(30)}" for _ in range(200)])


@pytest.fixture
def asked(monkeypatch):
    """Let no run start; return the arguments of those that would have."""
    from rtrec.engine.live import LiveRun

    calls = []

    def start(home, feed, **options):
        calls.append((home, feed, options))
        raise InputError("enough")

    monkeypatch.setattr(LiveRun, "start", start)
    return calls


def poll(question, *, seconds: float = 60.0):
    """Return the first true answer, or fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return answer


def test_json_is_one_object_on_the_last_line(rtrec, events, in_threads):
    result = rtrec("run", events, *COLUMNS, "--headless", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary.keys() >= WANTED
    assert (summary["events"], summary["tested"], summary["offset"]) == (200, 160, 200)


def test_the_run_and_the_evaluation_find_the_same_figures(rtrec, many_items, in_threads):
    # One shard, events in order, the same warm-up: two ways to the same numbers.
    words = (many_items, *COLUMNS, "--json")
    run = json.loads(rtrec("run", *words, "--headless", "--set", "repeat=true").stdout)
    [evaluated] = json_lines(rtrec("evaluate", *words, "--models", "default", "--repeat").stdout)
    assert run["hr@10"] == evaluated["hr@10"]
    assert run["ndcg@10"] == evaluated["ndcg@10"]
    assert {"first_event", "last_event"} < run.keys()
    assert (run["first_event"], run["last_event"]) == (evaluated["first_event"], evaluated["last_event"])
    looked_at = json.loads(rtrec("run", "--headless", "--json", "--home", ".rtrec/events.csv").stdout)
    assert looked_at["first_event"] == run["first_event"]  # out of its snapshot
    assert 0 < run["ndcg@10"] < run["hr@10"] < 1


def test_a_run_keeps_what_a_file_of_items_says_and_finds_what_the_evaluation_does(
    rtrec, many_items, in_threads, tmp_path
):
    rows = (
        f"i{number},thing {number},{'odd' if number % 2 else 'even'}|n{number % 3}\n" for number in range(50)
    )
    (tmp_path / "items.csv").write_text("item,title,kinds\n" + "".join(rows))
    about = ("--items", tmp_path / "items.csv", "--item-text", "title", "--item-category", "kinds")
    words = (many_items, *COLUMNS, "--set", "repeat=true", "--json")
    first = json.loads(rtrec("run", *words, *about, "--headless", "--limit", 50).stdout)
    assert first["tested"] == 50
    run = json.loads(rtrec("run", *words, "--headless").stdout)  # which knows the items from the first
    [evaluated] = json_lines(rtrec("evaluate", *words, *about, "--models", "default").stdout)
    [without] = json_lines(rtrec("evaluate", *words, *about[:4], "--models", "default").stdout)
    assert (run["hr@10"], run["ndcg@10"]) == (evaluated["hr@10"], evaluated["ndcg@10"])
    assert run["ndcg@10"] != without["ndcg@10"]


def test_started_again_it_goes_on_and_has_nothing_left_to_do(rtrec, many_items, in_threads):
    words = ("run", many_items, *COLUMNS, "--headless", "--json")
    first = json.loads(rtrec(*words, "--limit", 50).stdout)
    assert (first["events"], first["tested"]) == (90, 50)
    second = json.loads(rtrec(*words).stdout)
    assert (second["events"], second["tested"]) == (200, 160)
    third = json.loads(rtrec(*words).stdout)
    assert third["hr@10"] == second["hr@10"]
    assert all(0 < each["hr@10"] < 1 for each in (first, second))
    afresh = json.loads(rtrec(*words, "--fresh", "--limit", 50).stdout)
    assert afresh["events"] == 90


def test_a_run_with_nothing_new_to_read_says_so(rtrec, events, in_threads):
    words = ("run", events, *COLUMNS, "--headless", "--home", "home")
    said = "nothing new in events.csv; --fresh starts over"
    assert said not in rtrec(*words, "--limit", 50).stderr
    assert said not in rtrec(*words, "--limit", 50).stderr  # there is, but it was not asked for
    assert said not in rtrec(*words).stderr
    result = rtrec(*words)
    assert result.exit_code == 0, result.stderr
    assert said in result.stderr
    assert said not in rtrec(*words, "--fresh").stderr
    assert said not in rtrec("run", "--home", "home", "--headless").stderr  # which asked for nothing new


def test_the_table_compares_the_racing_models(rtrec, events, in_threads):
    result = rtrec("run", events, *COLUMNS, "--headless")
    assert result.exit_code == 0, result.stderr
    for word in ("finished: 200 events, 160 tested", "default", "popularity", "transitions", "hr@10"):
        assert word in result.stdout


def test_a_file_that_is_not_sorted_is_replayed_in_order_of_time(rtrec, tmp_path, in_threads):
    times = [1_700_000_000 - 60 * row for row in range(200)]
    events = write_events(tmp_path / "events.csv", at=times)
    assert rtrec("run", events, *COLUMNS, "--headless", "--home", "a").exit_code == 0
    assert rtrec("run", events, *COLUMNS, "--headless", "--home", "b", "--no-sort").exit_code == 0

    def replayed(home):
        from rtrec.engine.deployment import Deployment

        log = Deployment(tmp_path / home).open_log(mode="read")
        try:
            return log.read(0, 0)["timestamp"].to_pylist()
        finally:
            log.close()

    assert replayed("a") == sorted(replayed("b"))
    assert replayed("b") == sorted(replayed("b"), reverse=True)


def test_options_reach_the_run(rtrec, events, asked):
    words = (
        "--shards",
        3,
        "--speed",
        "60x",
        "--limit",
        7,
        "--warmup",
        30,
        "--scheduler",
        "tcp://here:1",
        "--fresh",
    )
    rtrec("run", events, *COLUMNS, *words, "--snapshot-every", 500, "--headless", "--set", "ring_length=3")
    [(home, feed, options)] = asked
    assert (str(home), feed.name) == (".rtrec/events.csv", "events.csv")
    wanted = {
        "shards": 3,
        "speed": 60.0,
        "limit": 7,
        "warmup": 30,
        "scheduler": "tcp://here:1",
        "fresh": True,
    }
    assert options.items() >= (wanted | {"snapshot_every": 500}).items()
    assert options["settings"].ring_length == 3


def test_home_comes_from_the_environment(rtrec, events, asked, monkeypatch):
    monkeypatch.setenv("RTREC_HOME", "elsewhere")
    rtrec("run", events, *COLUMNS, "--headless")
    assert str(asked[0][0]) == "elsewhere"


def test_without_a_source_a_home_is_looked_at(rtrec, events, asked, in_threads):
    result = rtrec("run", "--home", "nowhere", "--headless")
    assert result.exit_code == 2
    assert "nowhere: no deployment here" in result.stderr
    assert rtrec("run", "--headless").exit_code == 2


def test_a_wait_that_is_none_is_refused(rtrec, events):
    result = rtrec("run", events, *COLUMNS, "--speed", "60x", "--longest-wait", 0)
    assert result.exit_code == 2
    assert "--longest-wait 0: expected seconds above zero, or inf" in result.stderr


def test_fresh_without_a_source_is_refused_and_the_log_is_kept(rtrec, events, in_threads):
    assert rtrec("run", events, *COLUMNS, "--headless", "--home", "home").exit_code == 0
    result = rtrec("run", "--home", "home", "--fresh", "--headless")
    assert result.exit_code == 2
    assert "name what to read: either FILE" in result.stderr
    assert logged(rtrec) == 200


def test_another_file_of_the_same_name_is_refused_and_the_log_is_kept(rtrec, events, tmp_path, in_threads):
    words = ("--headless", "--home", "home")
    assert rtrec("run", events, *COLUMNS, *words).exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    other = write_events(tmp_path / "elsewhere" / "events.csv", user=[f"v{row % 7}" for row in range(200)])
    assert other.stat().st_size == events.stat().st_size

    result = rtrec("run", other, *COLUMNS, *words)
    assert result.exit_code == 1
    assert (
        "home: cannot go on with this 'events.csv': the first 200 rows of the file are not what they were; "
        "give another --home, or start afresh with --fresh"
    ) in result.stderr
    result = rtrec("run", events, *COLUMNS, *words, "--no-sort")
    assert result.exit_code == 1
    assert "home: cannot go on with this 'events.csv': its order was 'time', now 'file'" in result.stderr
    assert logged(rtrec) == 200
    assert rtrec("run", events, *COLUMNS, *words).exit_code == 0


def test_settings_that_a_looked_at_deployment_will_not_take_are_named(rtrec, events, in_threads):
    words = ("--home", "home", "--headless")
    assert rtrec("run", events, *COLUMNS, *words).exit_code == 0
    result = rtrec("run", *words, "--set", "ring_length=20")
    assert result.exit_code == 0, result.stderr
    assert "home goes on with its own settings, not with ring_length=20: change them in" in result.stderr


def test_settings_that_a_deployment_will_not_take_are_named(rtrec, events, in_threads):
    words = ("run", events, *COLUMNS, "--headless", "--set", "ring_length=3")
    assert "goes on with its own settings" not in rtrec(*words).stderr
    assert "goes on with its own settings" not in rtrec(*words).stderr
    assert "not with repeat=True:" in rtrec(*words, "--set", "repeat=true").stderr
    assert "goes on with its own settings" not in rtrec(*words, "--set", "repeat=true", "--fresh").stderr


def test_a_file_read_amiss_says_how_to_start_anew(rtrec, tmp_path, in_threads):
    # With a number of warm events nothing is counted beforehand: the run finds out at the end.
    bad = write_events(tmp_path / "events.csv", 20, at=["never"] * 20)
    result = rtrec("run", bad, *COLUMNS, "--headless", "--warmup", 10)
    assert result.exit_code == 2
    assert "start anew with --fresh" in result.stderr
    assert "row 1, column 'at', unparsable time" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--speed", "fast"], "--speed 'fast': expected max, or times recorded speed"),
        (["--warmup", "1.5"], "--warmup '1.5': expected a share"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0: the dashboard would be reachable from outside"),
        (["--warmup", "1e300"], "--warmup '1e300': expected a share"),
        (["--set", "ring_lenth=1"], "did you mean 'ring_length'?"),
        (["--scheduler", "nonsense"], "--scheduler 'nonsense': expected tcp://host:port"),
        (["--scheduler", "tcp://here"], "--scheduler 'tcp://here': expected tcp://host:port"),
        (["--scheduler", "tcp://here:99999"], "expected tcp://host:port"),
        (["--home", ""], "--home '': expected a directory; name one"),
        (["--home", "events.csv"], "--home events.csv: expected a directory; events.csv is a file"),
        (["--home", "events.csv/in"], "--home events.csv/in: expected a directory; events.csv is a file"),
        (["--data-dir", "events.csv"], "--data-dir events.csv: expected a directory; events.csv is a file"),
    ],
)
def test_an_option_that_cannot_be_exits_with_2_before_anything_starts(rtrec, events, asked, words, expected):
    result = rtrec("run", events, *COLUMNS, *words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert asked == []


def test_a_port_that_is_taken_exits_with_2(rtrec, events, asked):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = rtrec("run", events, *COLUMNS, "--port", port)
    assert result.exit_code == 2
    assert f"--port {port}: taken on 127.0.0.1" in result.stderr


def test_two_runs_do_not_share_a_home(rtrec, events, tmp_path):
    from rtrec.engine.deployment import Deployment

    with Deployment(tmp_path / "home").lock():
        result = rtrec("run", events, *COLUMNS, "--headless", "--home", "home")
    assert result.exit_code == 1
    assert "home: another run is active" in result.stderr


@pytest.fixture
def slow_run(tmp_path):
    """Return a function that starts a run of a day in a process of its own; it is ended with the test."""
    events = write_events(tmp_path / "events.csv", 1000)
    processes = []

    def start(*words, **options):
        command = [sys.executable, "-m", "rtrec", "run", str(events), *COLUMNS, "--home", "home", *words]
        # 1000 events, a minute apart, at 300 times recorded speed: 5 events a second.
        process = subprocess.Popen(
            [*command, "--warmup", "10", "--speed", "300x", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def logged(rtrec) -> int:
    """Return how many events the deployment's log has so far."""
    result = rtrec("log", "info", "--home", "home", "--json")
    return json_lines(result.stdout)[0]["events"] if result.exit_code == 0 else 0


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_learns_what_was_accepted_writes_a_snapshot_and_says_so(rtrec, slow_run, number):
    process = slow_run("--headless")
    poll(lambda: logged(rtrec) > 12)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Stopping" in err
    summary = json.loads(out)
    assert summary["phase"] == "stopped"
    assert summary["events"] == summary["offset"] == logged(rtrec)
    lines = json_lines(rtrec("snapshots", "list", "--home", "home", "--json").stdout)
    assert lines[-1]["manifest"]["n_events"] == summary["events"]


@pytest.mark.slow
@pytest.mark.cluster
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_stops_as_cleanly(rtrec, slow_run):
    process = slow_run("--headless", start_new_session=True)
    poll(lambda: logged(rtrec) > 12)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "a shard was lost" not in err
    assert json.loads(out)["recoveries"] == 0


@pytest.mark.slow
@pytest.mark.cluster
def test_a_dashboard_is_served_until_ctrl_c(rtrec, slow_run):
    import urllib.request

    process = slow_run("--port", "0")
    line = process.stderr.readline()
    assert line.startswith("Dashboard: http://127.0.0.1:")
    url = line.split()[1]
    # Asked from outside any proxy: it is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(url, timeout=60).status == 200
    poll(lambda: logged(rtrec) > 12)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["events"] > 12


@pytest.mark.slow
@pytest.mark.cluster
def test_a_second_ctrl_c_ends_it_at_once_and_nothing_accepted_is_lost(rtrec, slow_run):
    process = slow_run("--headless")
    poll(lambda: logged(rtrec) > 12)
    process.send_signal(signal.SIGINT)
    while "Stopping" not in process.stderr.readline():
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert process.returncode in (0, 130)  # 0 if it was done before the second one came
    assert time.monotonic() - began < 5 or process.returncode == 0
    n_logged = logged(rtrec)
    again = slow_run("--headless")
    poll(lambda: logged(rtrec) > n_logged)
    again.send_signal(signal.SIGTERM)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["events"] >= n_logged


@pytest.mark.slow
@pytest.mark.cluster
def test_a_real_process_prints_json_and_nothing_else_on_stdout(rtrec_process, events):
    result = rtrec_process("run", events, *COLUMNS, "--headless", "--json")
    assert result.returncode == 0, result.stderr
    assert [line["events"] for line in json_lines(result.stdout)] == [200]
    assert os.listdir(".rtrec") == ["events.csv"]
