"""The job `features`, from a deployment of which part is compacted to its next version."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from rtrec.declared import HISTORICAL, PAST
from rtrec.engine.deployment import Deployment
from rtrec.engine.learned import learned_numbers
from rtrec.errors import DeploymentError, InputError
from rtrec.features.historical.build import compute_features
from rtrec.features.historical.frame import frame_of_events, moment_after
from rtrec.jobs.catalogue import get_job
from rtrec.jobs.features import recompute_features
from rtrec.jobs.request import JobRequest
from rtrec.models.historical import latest_features
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from tests.jobs.conftest import NOW


@pytest.fixture
def home(tmp_path: Path, parts) -> Path:
    """Return a deployment of two shards, half of whose events are compacted."""
    deployment = Deployment(tmp_path / "home")
    settings = Settings(weight_buy=2.0).model_dump()
    deployment.create({"shards": 2, "source": "made", "warmup_events": 300, "settings": settings})
    log = deployment.open_log()
    halves = [part.num_rows // 2 for part in parts]
    log.append([part.slice(0, half) for part, half in zip(parts, halves, strict=True)])
    log.cut(halves, 0)
    log.compact(halves, 1)
    log.append([part.slice(half) for part, half in zip(parts, halves, strict=True)])
    log.append_control({"control": "settings", "changes": {"weight_click": 0.5}})
    log.close()
    return deployment.home


def test_the_job_publishes_version_after_version_and_says_so(client, home, events):
    request = JobRequest(home, scheduler=client.scheduler.address)
    report = recompute_features(request, clock=lambda: NOW)
    assert report == home / "reports" / "features-20261124T053000Z.html"
    found = latest_features(home / "features")
    log = Deployment(home).open_log(mode="read")
    assert (found.version, found.ends, found.n_events) == (1, log.ends(), 1500)
    log.close()
    # As if all had been one table, with the weights live now.
    frame = frame_of_events(events, Settings(weight_buy=2.0, weight_click=0.5).kind_weights())
    expected = compute_features(frame, as_of=moment_after(frame))
    for name, array in expected.to_arrays().items():
        np.testing.assert_allclose(found.to_arrays()[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
    page = report.read_text(encoding="utf-8")
    assert str(home / "features" / "version-1") in page
    assert "1,500 events" in page
    assert "trend" in page

    later = recompute_features(request, clock=lambda: NOW + timedelta(hours=1))
    assert latest_features(home / "features").version == 2
    assert latest_features(home / "features").user_cohort.tolist() == found.user_cohort.tolist()
    assert "have hardly changed (stability index 0.000)" in later.read_text(encoding="utf-8")


def test_published_it_counts_as_of_the_last_cut_and_only_once(client, home):
    request = JobRequest(home, scheduler=client.scheduler.address, publish=True)
    assert "features --home" in recompute_features(request, clock=lambda: NOW).read_text(encoding="utf-8")
    deployment = Deployment(home)
    with closing(deployment.open_log(mode="read")) as log:
        [cut], known = log.cuts(), learned_numbers(log, 1, Settings())
        [control] = [each.body for each in log.controls() if each.body["control"] == "publish"]
    found = latest_features(home / "features")
    assert (found.n_events, found.ends) == (sum(cut.ends), cut.ends)  # the others have no number yet
    assert (control["slot"], control["model"]) == ("historical", "features")
    assert control["n_events"] == found.n_events
    past = TableStore(home).read("historical", control["version"], control["seal"])
    # Each row is that of the id behind its number; the last one is nobody's.
    events = list(PAST).index("events_30d")
    for number, item_id in enumerate(known.items.ids()):
        [row] = found.items.lookup([item_id])
        assert past.item_value[number, events] == found.column("item", "events_30d")[row]
        assert past.cohort_lift[:, number].tolist() == found.cohort_lift[:, row].tolist()
    assert past.n_items == len(known.items)
    assert past.cohort_lift[:, -1].tolist() == [0.0] * len(found.cohorts)
    for shard, users in enumerate(known.users):
        rows = found.users.lookup(users.ids())
        own = past.user_cohort[shard::2][: len(users)]
        assert own.tolist() == found.user_cohort[rows].tolist()
    assert past.user_cohort[-1] == -1

    recompute_features(request, clock=lambda: NOW + timedelta(hours=1))  # of the same events
    with closing(deployment.open_log()) as log:
        assert len(log.controls()) == 2  # a change of settings, and one publication
        log.cut(log.ends(), len(log.controls()))
    recompute_features(request, clock=lambda: NOW + timedelta(hours=2))
    with closing(deployment.open_log(mode="read")) as log:
        assert [each.body.get("n_events") for each in log.controls()] == [None, found.n_events, 1500]


def test_before_a_run_has_learned_anything_there_is_nothing_to_publish(tmp_path, parts):
    deployment = Deployment(tmp_path)
    deployment.create({"shards": 2, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()})
    with closing(deployment.open_log()) as log:
        log.append(parts)
    with pytest.raises(InputError, match="no event has been learned yet"):
        recompute_features(JobRequest(tmp_path, publish=True))


def test_the_job_only_reads_the_log_so_a_run_may_go_on(client, home):
    told = []
    with Deployment(home).lock():
        log = Deployment(home).open_log()
        request = JobRequest(
            home, scheduler=client.scheduler.address, progress=lambda *step: told.append(step)
        )
        get_job("features").run(request)
        log.append_control({"control": "settings", "changes": {"ring_length": 9}})
        log.close()
    assert [(done, total) for _, done, total in told] == [(step, 4) for step in (1, 2, 3, 4)]


def test_two_at_once_are_refused_and_nothing_is_lost(client, home):
    request = JobRequest(home, scheduler=client.scheduler.address)
    with (
        TableStore(home).fitting(HISTORICAL),
        pytest.raises(DeploymentError, match="another fit for this slot is at work; try again when it is"),
    ):
        recompute_features(request, clock=lambda: NOW)
    assert latest_features(home / "features") is None
    recompute_features(request, clock=lambda: NOW)
    assert latest_features(home / "features").version == 1


def test_an_empty_log_and_no_deployment_are_said(tmp_path):
    with pytest.raises(DeploymentError, match="no deployment here"):
        recompute_features(JobRequest(tmp_path / "nothing"))
    Deployment(tmp_path / "home").create(
        {"shards": 1, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()}
    )
    with pytest.raises(InputError, match="the log has no events yet"):
        recompute_features(JobRequest(tmp_path / "home"))


@pytest.mark.cluster
@pytest.mark.slow
def test_without_a_scheduler_tasks_run_in_processes_of_this_machine(home):
    recompute_features(JobRequest(home), clock=lambda: NOW)
    assert latest_features(home / "features").n_events == 1500


def test_a_fresh_start_forgets_the_features_of_the_log_before(client, home):
    recompute_features(JobRequest(home, scheduler=client.scheduler.address), clock=lambda: NOW)
    Deployment(home).clear()
    assert not (home / "features").exists()
    assert (home / "reports").exists()
