"""`rtrec tables`, and runs and jobs that make some."""

from __future__ import annotations

from contextlib import closing

import pytest

from rtrec.engine.deployment import Deployment
from rtrec.settings import Settings
from tests.cli.samples import COLUMNS, json_lines, write_events


def published(n_events: int, slot: str = "history") -> dict[str, object]:
    said = {"version": f"{n_events}-ease", "seal": "0", "model": "ease", "made_by": "1", "n_items": 4}
    return {"control": "publish", "slot": slot, "n_events": n_events, "seconds": 1.5} | said


@pytest.fixture
def home(tmp_path):
    """Return a deployment in whose history slot three tables took turns."""
    deployment = Deployment(tmp_path / "home")
    manifest = {"shards": 1, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()}
    deployment.create(manifest, texts={"a": "tea"})
    for n_events in (3, 5):
        deployment.append_control(published(n_events))
    deployment.append_control({"control": "withdraw", "slot": "history"})
    deployment.append_control(published(7))
    return deployment.home


def test_list_says_what_is_live_and_with_all_what_was(rtrec, home):
    content, live = json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout)
    assert (content["slot"], content["version"], content["state"]) == ("content", "from texts", "live")
    assert (live["slot"], live["model"], live["n_events"], live["seconds"]) == ("history", "ease", 7, 1.5)
    assert (live["on_disk"], live["events_since"]) == (False, -7)
    _, *all_of_them = json_lines(rtrec("tables", "list", "--home", "home", "--all", "--json").stdout)
    assert [(each["n_events"], each["state"]) for each in all_of_them] == [
        (3, "replaced"),
        (5, "withdrawn"),
        (7, "live"),
    ]
    shown = rtrec("tables", "list", "--home", "home").stdout
    assert "7-ease" in shown
    assert "5-ease" not in shown


def test_withdraw_empties_a_slot(rtrec, home):
    assert rtrec("tables", "withdraw", "history", "--home", "home").exit_code == 0
    [content] = json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout)
    assert content["slot"] == "content"
    assert rtrec("tables", "withdraw", "content", "--home", "home").exit_code == 0
    assert json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout) == []
    assert "No published table" in rtrec("tables", "list", "--home", "home").stdout
    result = rtrec("tables", "withdraw", "histroy", "--home", "home")
    assert (result.exit_code, "did you mean 'history'" in result.stderr) == (2, True)


def test_an_empty_slot_cannot_be_emptied_and_the_log_is_left_alone(rtrec, home):
    assert rtrec("tables", "withdraw", "history", "--home", "home").exit_code == 0

    def n_controls() -> int:
        with closing(Deployment(home).open_log(mode="read")) as log:
            return len(log.controls())

    before = n_controls()
    for slot in ("history", "own"):
        result = rtrec("tables", "withdraw", slot, "--home", "home")
        assert result.exit_code == 2
        assert f"slot '{slot}' is empty already; there are tables in content" in result.stderr
    assert n_controls() == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["history"], "--nearline 'history': expected SLOT=MODEL"),
        (["history=eas"], "no fitted model 'eas'; did you mean 'ease'"),
        (["histroy=ease"], "no slot 'histroy'; did you mean 'history'"),
        (["own=ease", "own=ials"], "slot 'own' has a model already"),
    ],
)
def test_a_run_refuses_what_it_could_not_fit(rtrec, tmp_path, words, expected):
    events = write_events(tmp_path / "events.csv")
    options = [part for each in words for part in ("--nearline", each)]
    result = rtrec("run", events, *COLUMNS, "--home", "made", "--headless", *options)
    assert (result.exit_code, expected in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "made").exists()


def test_a_run_refuses_to_be_told_twice_of_historical_features(rtrec, tmp_path):
    events = write_events(tmp_path / "events.csv")
    words = ["--nearline", "historical=features", "--historical", "100"]
    result = rtrec("run", events, *COLUMNS, "--home", "made", "--headless", *words)
    assert (result.exit_code, "--nearline historical=features asks for it too" in result.stderr) == (2, True)


@pytest.mark.slow
def test_a_run_with_historical_features_and_then_the_job(rtrec, rtrec_process, tmp_path, in_threads):
    events = write_events(tmp_path / "events.csv", n_events=400)
    options = ["--historical", "150", "--refit-wait", "--set", "use_historical=true"]
    result = rtrec("run", events, *COLUMNS, "--home", "home", "--headless", "--json", *options)
    assert result.exit_code == 0, result.stderr
    assert json_lines(result.stdout)[0]["tables"]["historical"]["n_events"] == 300
    [listed] = json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout)
    said = (listed["slot"], listed["model"], listed["n_events"], listed["events_since"], listed["on_disk"])
    assert said == ("historical", "features", 300, 100, True)
    result = rtrec_process("jobs", "run", "features", "--publish", "--home", "home")
    assert result.returncode == 0, result.stderr
    [listed] = json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout)
    assert (listed["slot"], listed["n_events"]) == ("historical", 400)
    assert rtrec("tables", "withdraw", "historical", "--home", "home").exit_code == 0


@pytest.mark.slow
def test_a_run_with_a_fitted_model_and_then_a_job(rtrec, rtrec_process, tmp_path, in_threads):
    events = write_events(tmp_path / "events.csv", n_events=400)
    options = ["--nearline", "history=ease:ridge=5", "--refit-every", "150", "--refit-wait"]
    result = rtrec("run", events, *COLUMNS, "--home", "home", "--headless", "--json", *options)
    assert result.exit_code == 0, result.stderr
    [summary] = json_lines(result.stdout)
    assert (summary["tables"]["history"]["n_events"], summary["tables"]["history"]["live_from"]) == (300, 300)
    job = [
        "jobs",
        "run",
        "refit",
        "--home",
        "home",
        "--model",
        "item-knn:neighbours=3,shrink=1",
        "--slot",
        "own",
    ]
    result = rtrec_process(*job)
    assert result.returncode == 0, result.stderr
    listed = json_lines(rtrec("tables", "list", "--home", "home", "--json").stdout)
    assert [(each["slot"], each["model"], each["n_events"], each["on_disk"]) for each in listed] == [
        ("history", "ease", 300, True),
        ("own", "item-knn", 400, True),
    ]
    assert result.stdout.splitlines()[-1] == f"home/tables/own/{listed[1]['version']}"
