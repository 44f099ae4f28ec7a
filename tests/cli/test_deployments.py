"""Commands that look at a deployment: its log and its snapshots, and which one is meant."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.events.cleaning import DeadLetter
from rtrec.events.schema import empty_events
from rtrec.events.synthetic import SyntheticStream
from rtrec.models.snapshot import write_snapshot
from rtrec.settings import Settings
from tests.cli.samples import json_lines

COMMANDS = [
    "log info",
    "log dead-letters",
    "log redrive",
    "log resume",
    "snapshots list",
    "snapshots verify",
    "jobs run evaluate",
    "jobs run features",
    "jobs run refit --model ease",
    "tables list",
]


def make_deployment(home):
    """Make a deployment of two shards with 30 events, three dead letters and two snapshots."""
    deployment = Deployment(home)
    deployment.create(
        {"shards": 2, "source": "shop.csv", "warmup_events": 5, "settings": Settings().model_dump()}
    )
    letters = [
        DeadLetter("shop.csv", 7, "unparsable time", "at", '{"at": "yester\x1bday"}'),
        DeadLetter("shop.csv", 8, "unparsable time", "at", '{"at": "today"}'),
        DeadLetter("shop.csv", 9, "missing user", "user", "{}"),
    ]
    counts = {"accepted": 30, "unparsable time": 2, "missing user": 1}
    log = deployment.open_log()
    log.append(
        [SyntheticStream().events(30), empty_events()],
        source="shop.csv",
        position=33,
        counts=counts,
        dead_letters=letters,
    )
    log.cut((20, 0), 0)
    log.append_control({"control": "settings", "changes": {"ring_length": 5}})
    log.close()
    for seq, n_events in ((1, 10), (2, 20)):
        write_snapshot(deployment.snapshots, f"{seq:012d}", {"a/b": np.arange(100)}, {"n_events": n_events})
    return deployment


@pytest.fixture
def deployment(tmp_path):
    return make_deployment(tmp_path / ".rtrec" / "shop")


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_deployment_it_says_how_to_name_one(rtrec, command):
    result = rtrec(*command.split())
    assert result.exit_code == 2
    assert (
        "which deployment? there is none under .rtrec; name one with --home DIR or RTREC_HOME"
        in result.stderr
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("home", ["nowhere", "empty"])
def test_a_home_without_a_deployment_exits_with_2_and_says_how_to_make_one(rtrec, tmp_path, command, home):
    (tmp_path / "empty").mkdir()
    result = rtrec(*command.split(), "--home", home)
    assert result.exit_code == 2
    assert (
        f"{home}: no deployment here; make one with `rtrec run FILE ... --home {home}`, or name another "
        "with --home DIR or RTREC_HOME"
    ) in " ".join(result.stderr.split())
    assert not any((tmp_path / "empty").iterdir())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("home", ["", "here.csv"])
def test_a_home_that_is_no_directory_exits_with_2(rtrec, tmp_path, command, home):
    (tmp_path / "here.csv").touch()
    result = rtrec(*command.split(), "--home", home)
    assert result.exit_code == 2
    assert "expected a directory" in result.stderr


def test_the_only_deployment_is_meant(rtrec, deployment):
    [info] = json_lines(rtrec("log", "info", "--json").stdout)
    assert info["home"] == ".rtrec/shop"


def test_of_two_deployments_one_has_to_be_named(rtrec, deployment, tmp_path, monkeypatch):
    make_deployment(tmp_path / ".rtrec" / "other")
    result = rtrec("log", "info")
    assert result.exit_code == 2
    assert ".rtrec has other, shop" in result.stderr
    monkeypatch.setenv("RTREC_HOME", ".rtrec/other")
    [info] = json_lines(rtrec("log", "info", "--json").stdout)
    assert info["home"] == ".rtrec/other"


def test_log_info(rtrec, deployment):
    [info] = json_lines(rtrec("log", "info", "--json").stdout)
    assert info == {
        "home": ".rtrec/shop",
        "source": "shop.csv",
        "events": 30,
        "partitions": [30, 0],
        "rows_read": 33,
        "counts": {"accepted": 30, "unparsable time": 2, "missing user": 1},
        "late": 0,
        "lateness_allowed": "any",
        "most_late_s": 0.0,
        "watermark": None,
        "dead_letters": {"unparsable time": 2, "missing user": 1},
        "batches": 1,
        "controls": 1,
        "paused": "",
    }
    table = rtrec("log", "info").stdout
    assert "unparsable time 2, missing user 1" in table


def test_dead_letters_say_where_and_why(rtrec, deployment):
    table = rtrec("log", "dead-letters").stdout
    assert "3 of 3 dead letters" in table
    for words in ("shop.csv", "7", "unparsable time", "missing user", r'{"at": "yester\x1bday"}'):
        assert words in table
    lines = json_lines(rtrec("log", "dead-letters", "--reason", "missing user", "--json").stdout)
    assert [(line["row"], line["column"]) for line in lines] == [(9, "user")]
    assert (
        "1 of 2 dead letters"
        in rtrec("log", "dead-letters", "--reason", "unparsable time", "--limit", 1).stdout
    )


def test_an_unknown_reason_names_the_nearest(rtrec, deployment):
    result = rtrec("log", "dead-letters", "--reason", "unparsable tim")
    assert result.exit_code == 2
    assert "did you mean 'unparsable time'?" in result.stderr


def test_snapshots_are_listed_and_verified(rtrec, deployment):
    lines = json_lines(rtrec("snapshots", "list", "--json").stdout)
    assert [line["manifest"]["n_events"] for line in lines] == [10, 20]
    result = rtrec("snapshots", "verify")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("good") == 2


def test_a_damaged_snapshot_is_found_by_verify_alone(rtrec, deployment):
    file = deployment.snapshots / "000000000002" / "a" / "b.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert rtrec("snapshots", "list").exit_code == 0
    result = rtrec("snapshots", "verify")
    assert result.exit_code == 1
    assert "1 of 2 snapshots are damaged" in result.stderr
    assert "b.npy" in result.stderr
    assert "good" in result.stdout


def test_without_snapshots_it_says_so(rtrec, tmp_path):
    Deployment(tmp_path / "home").create(
        {"shards": 1, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()}
    )
    result = rtrec("snapshots", "list", "--home", "home")
    assert (result.exit_code, result.stdout.strip().splitlines()[0].strip()) == (0, "No snapshots")
    assert "No dead letters" in rtrec("log", "dead-letters", "--home", "home").stdout
