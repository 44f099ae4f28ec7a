"""Commands that look at a deployment: its log and its snapshots, and which one is meant."""

from __future__ import annotations

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.engine.quarantine import Quarantine
from rtrec.events.cleaning import DeadLetter
from rtrec.events.schema import empty_events
from rtrec.events.synthetic import SyntheticStream
from rtrec.models.snapshot import write_snapshot
from rtrec.settings import Settings
from tests.cli.samples import COLUMNS, json_lines, write_events

COMMANDS = [
    "log info",
    "log dead-letters",
    "log quarantined",
    "log rolled-back",
    "log thaw",
    "log redrive",
    "log resume",
    "snapshots list",
    "snapshots verify",
    "snapshots show 1",
    "snapshots rollback 1 --yes",
    "snapshots prune --keep 1",
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
        "rolled_back": 0,
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


@pytest.fixture
def lived(rtrec, tmp_path, in_threads):
    """Return the home of a deployment with three snapshots, and a change of settings behind the first."""
    home = tmp_path / "lived"
    events = ("run", write_events(tmp_path / "shop.csv"), *COLUMNS, "--home", home, "--headless")
    assert rtrec(*events, "--limit", 20, "--warmup", 20).exit_code == 0
    Deployment(home).append_control({"control": "settings", "changes": {"ring_length": 5}})
    for limit in (60, 100):
        assert rtrec(*events, "--limit", limit).exit_code == 0
    return home


@pytest.mark.slow
def test_one_can_look_at_a_snapshot_and_go_back_to_it(rtrec, lived):
    at = ("--home", lived)
    first, _, last = (
        line["snapshot"] for line in json_lines(rtrec("snapshots", "list", "--json", *at).stdout)
    )
    [facts] = json_lines(rtrec("snapshots", "show", int(first), "--json", *at).stdout)
    assert (facts["snapshot"], facts["state"], facts["manifest"]["n_events"]) == (first, "good", 40)
    assert facts["manifest"]["behind"]["controls"] == 1
    table = rtrec("snapshots", "show", last, *at).stdout
    for words in ("ring_length=5", "120, of which 100 tested", "format", "written by rtrec"):
        assert words in table

    asked = rtrec("snapshots", "rollback", first, *at, text="n\n")
    assert asked.exit_code == 1
    assert "80 events, which will be learned again, and 1 controls" in asked.stderr
    assert rtrec("snapshots", "rollback", first, "--yes", *at).exit_code == 0
    assert [line["snapshot"] for line in json_lines(rtrec("snapshots", "list", "--json", *at).stdout)] == [
        first
    ]
    [undone] = json_lines(rtrec("log", "rolled-back", "--json", *at).stdout)
    assert [control[2]["changes"] for control in undone["controls"]] == [{"ring_length": 5}]
    assert "ring_length" in rtrec("log", "rolled-back", *at).stdout
    [info] = json_lines(rtrec("log", "info", "--json", *at).stdout)
    assert (info["events"], info["controls"], info["rolled_back"]) == (120, 0, 1)


@pytest.mark.slow
def test_snapshots_are_pruned_on_demand(rtrec, lived):
    at = ("--home", lived)
    [said] = json_lines(rtrec("snapshots", "prune", "--keep", 1, "--json", *at).stdout)
    assert len(said["deleted"]) == 2
    assert "nothing to delete" in rtrec("snapshots", "prune", "--keep", 1, *at).stderr
    assert rtrec("snapshots", "show", "99", *at).exit_code == 2


def test_nothing_is_in_quarantine_and_nothing_was_rolled_back(rtrec, deployment):
    empty = Quarantine().to_manifest()
    write_snapshot(deployment.snapshots, f"{3:012d}", {}, {"n_events": 20, "quarantine": empty})
    assert "No event is in quarantine" in rtrec("log", "quarantined").stdout
    assert "Nothing was ever rolled back" in rtrec("log", "rolled-back").stdout
    assert json_lines(rtrec("log", "rolled-back", "--json").stdout) == []


def test_events_in_quarantine_are_shown_with_why(rtrec, deployment):
    book = {
        "n_events": 2,
        "frozen_at": [20, "2024-05-01T00:00:00+00:00"],
        "cuts": [
            {
                "seq": 1,
                "n_before": 0,
                "time": "2024-05-01T00:00:00+00:00",
                "offsets": [[3, 7], []],
                "why": "its 'weight' would not be finite, or beyond 100",
            }
        ],
    }
    write_snapshot(deployment.snapshots, f"{3:012d}", {}, {"n_events": 20, "quarantine": book})
    lines = json_lines(rtrec("log", "quarantined", "--json").stdout)
    assert [(line["batch"], line["partition"], line["offset"]) for line in lines] == [(1, 0, 3), (1, 0, 7)]
    shown = rtrec("log", "quarantined")
    assert "2 events in quarantine" in shown.stdout
    assert "beyond 100" in shown.stdout
    assert "frozen" in shown.stderr
    assert rtrec("log", "thaw").exit_code == 0
    log = deployment.open_log(mode="read")
    assert log.controls()[-1].body == {"control": "thaw"}
    log.close()
