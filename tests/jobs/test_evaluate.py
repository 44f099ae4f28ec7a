"""The job `evaluate`, from a deployment to its report."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import rtrec
from rtrec.engine.deployment import Deployment
from rtrec.errors import DeploymentError, InputError
from rtrec.events.cleaning import DeadLetter
from rtrec.events.feeds import FileFeed
from rtrec.events.schema import EVENT_SCHEMA
from rtrec.events.sources import FileSource
from rtrec.features.historical.cohorts import Earlier
from rtrec.jobs.catalogue import get_job
from rtrec.jobs.evaluate import evaluate_log, report_on_deployment
from rtrec.jobs.findings import LogContents, read_log
from rtrec.jobs.request import JobRequest
from rtrec.settings import Settings
from rtrec.types import Columns
from tests.jobs.conftest import NOW

MODELS = ("popularity", "transitions")


@pytest.fixture
def home(tmp_path: Path, parts) -> Path:
    """Return a deployment of two shards with events, a dead letter and a changed setting."""
    deployment = Deployment(tmp_path / "home")
    deployment.create(
        {"shards": 2, "source": "made", "warmup_events": 300, "settings": Settings().model_dump()}
    )
    log = deployment.open_log()
    letter = DeadLetter("made", 7, "missing user", "user", '{"user": "<script>alert(1)</script>"}')
    log.append(parts, source="made", position=1501, counts={"accepted": 1500}, dead_letters=[letter])
    log.append_control({"control": "settings", "changes": {"ring_length": 7}})
    log.close()
    return deployment.home


def evaluated(contents: LogContents, client, **changed):
    arguments = {"models": MODELS, "settings": Settings(), "n_warm": 300, "time": NOW, "command": "again"}
    return evaluate_log(contents, client, **(arguments | changed))


def test_each_model_reaches_what_evaluate_gives_for_the_same_events(client, events):
    told = []
    found = evaluated(
        LogContents("made", events, (1500,)), client, progress=lambda *step: told.append(step)
    ).evaluation
    alone = rtrec.evaluate(events, models=MODELS, warmup=0.2)
    assert [each.model for each in found.results] == list(MODELS)
    for model in MODELS:
        assert np.array_equal(found[model].ranks, alone[model].ranks)
    assert sorted(told) == sorted((model, place + 1, 2) for place, (model, _, _) in enumerate(told))


@pytest.mark.parametrize("n_warm", [0, 1, 299, 301, 1499])
def test_exactly_the_warm_events_are_not_tested(client, events, n_warm):
    contents = LogContents("made", events, (1500,))
    found = evaluated(contents, client, n_warm=n_warm, models=["popularity"])
    assert found.evaluation["popularity"].events == 1500 - n_warm


def test_every_tested_event_has_the_cohort_of_its_user_though_dislikes_are_not_tested(client, events):
    kinds = ["dislike" if place % 3 == 0 else "view" for place in range(1500)]
    column = EVENT_SCHEMA.get_field_index(Columns.KIND)
    disliked = events.set_column(column, EVENT_SCHEMA.field(column), pa.array(kinds))
    found = evaluated(LogContents("made", disliked, (1500,)), client)
    assert len(found.tested_cohort) == found.evaluation.results[0].events == 1200 * 2 / 3
    users = disliked[Columns.USER_ID].to_pylist()
    number = {user: place for place, user in enumerate(dict.fromkeys(users))}
    tested = [number[user] for user, kind in list(zip(users, kinds, strict=True))[300:] if kind == "view"]
    assert found.tested_cohort.tolist() == found.cohorts.of_user[tested].tolist()


def test_a_log_that_only_warms_up_says_how_far_it_is(client, events):
    contents = LogContents("made", events.slice(0, 300), (300,))
    with pytest.raises(InputError, match="the log has 300 events and the first 300 only warm models up"):
        evaluated(contents, client)


def test_an_unknown_model_is_refused_with_the_nearest(client, events):
    with pytest.raises(InputError, match="did you mean 'popularity'"):
        evaluated(LogContents("made", events, (1500,)), client, models=["popularty"])


def test_the_job_writes_one_file_named_by_the_time(client, home):
    request = JobRequest(home, models=MODELS, scheduler=client.scheduler.address)
    path = report_on_deployment(request, clock=lambda: NOW)
    assert path == home / "reports" / "evaluate-20261124T053000Z.html"
    later = report_on_deployment(request, clock=lambda: NOW + timedelta(seconds=1))
    assert sorted(home.joinpath("reports").iterdir()) == [path, later]
    at_once = report_on_deployment(request, clock=lambda: NOW)  # another job of the same second
    assert sorted(home.joinpath("reports").iterdir()) == [path, at_once, later]
    assert at_once.name == "evaluate-20261124T053000Z_2.html"
    assert at_once.read_text(encoding="utf-8") != ""
    page = path.read_text(encoding="utf-8")
    assert "1,200 events tested" in page
    assert ">7 events</td>" in page  # the ring length that was changed, beside its default
    assert ">default 10</td>" in page
    assert f"rtrec jobs run evaluate --home {home} --models popularity,transitions" in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_job_only_reads_so_a_run_may_go_on(client, home):
    with Deployment(home).lock():
        log = Deployment(home).open_log()
        before = log.ends()
        get_job("evaluate").run(JobRequest(home, models=MODELS, scheduler=client.scheduler.address))
        log.append_control({"control": "settings", "changes": {"ring_length": 9}})
        assert log.ends() == before
        log.close()


def test_no_deployment_is_said_before_anything_is_started(tmp_path):
    with pytest.raises(DeploymentError, match="no deployment here"):
        report_on_deployment(JobRequest(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.slow
def test_a_run_of_one_shard_finds_its_own_figures_in_the_report(client, events, tmp_path):
    file = tmp_path / "made.csv"
    events.to_pandas().drop(columns=[Columns.EVENT_ID, Columns.CONTEXT]).to_csv(file, index=False)
    mapping = rtrec.ColumnMapping(Columns.USER_ID, Columns.ITEM_ID, Columns.TIMESTAMP, kind=Columns.KIND)
    feed = FileFeed(FileSource(file, mapping))
    items = sorted(set(events[Columns.ITEM_ID].to_pylist()))
    known = {"categories": {item: f"shelf-{place % 4}" for place, item in enumerate(items)}}
    with rtrec.LiveRun.start(tmp_path / "home", feed, processes=False, **known) as run:
        assert run.wait(60)
        live = run.summary()["models"]
    deployment = Deployment(tmp_path / "home")
    log = deployment.open_log(mode="read")
    contents = read_log(log, source=feed.name, categories=deployment.categories())
    log.close()
    found = evaluated(contents, client, models=list(live), n_warm=deployment.manifest["warmup_events"])
    for model, figures in live.items():
        assert found.evaluation[model].hit_rate == figures["hr@10"]
        assert found.evaluation[model].ndcg == figures["ndcg@10"]


def test_the_report_calls_cohorts_as_the_published_features_do(client, events):
    contents = LogContents("made", events, (1500,))
    first = evaluated(contents, client).cohorts
    turned = Earlier(tuple(f"{name}!" for name in first.names[::-1]), first.centres[::-1])
    again = evaluated(contents, client, earlier=turned)
    assert again.cohorts.names == turned.names
    assert again.cohorts.of_user.tolist() == (len(first.names) - 1 - first.of_user).tolist()
