"""The job `refit`: a table for a deployment that stands still, or runs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.engine.live import LiveRun
from rtrec.errors import DeploymentError, InputError
from rtrec.events.feeds import SyntheticFeed
from rtrec.events.numbering import number_events
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.events.vocabulary import Vocabulary
from rtrec.jobs.catalogue import get_job
from rtrec.jobs.request import JobRequest
from rtrec.models.kernel import UNTESTED
from rtrec.models.nearline.ease import EASE
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.nearest import nearest_rows
from rtrec.models.nearline.recipe import make_nearline
from rtrec.models.single import BuiltIn
from rtrec.models.snapshot import latest_snapshot
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings
from tests.engine.live_runs import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
N_WARM, N_FIRST, N_ALL = 500, 1500, 2500


def stream() -> SyntheticStream:
    return SyntheticStream(SyntheticConfig(n_users=100, n_items=60, seed=5))


def numbered():
    return number_events(stream().events(N_ALL), Vocabulary(), Vocabulary())


def run_on(home: Path, n_events: int, **options) -> LiveRun:
    run = LiveRun.start(
        home, SyntheticFeed(stream()), warmup=N_WARM, limit=n_events - N_WARM, processes=False, **options
    )
    run.result(60)
    return run


def refit(home: Path, client, model: str, **options) -> Path:
    address = client.scheduler.address
    return get_job("refit").run(JobRequest(home, models=(model,), scheduler=address, **options))


def controls(home: Path) -> list[dict]:
    with closing(Deployment(home).open_log(mode="read")) as log:
        return [each.body for each in log.controls()]


def test_a_run_that_is_started_again_has_the_table_from_where_it_starts(client, tmp_path: Path) -> None:
    with run_on(tmp_path, N_FIRST):
        pass
    told = []
    folder = refit(tmp_path, client, "ease:ridge=20", progress=lambda *step: told.append(step))
    assert folder.parent == tmp_path / "tables" / "history"
    assert told == [("ease on 1,500 events", 1, 1)]
    with run_on(tmp_path, N_ALL) as run:
        [table] = run.status().tables
        hit_rate = run.summary()["hr@10"]
    assert (table.version, table.n_events, table.live_from) == (folder.name, N_FIRST, N_FIRST)
    events, model = numbered(), BuiltIn("default", Settings())
    model.test_then_learn(events.part(0, N_WARM), k=10)
    ease = EASE(ridge=20)
    ease.fit(Interactions.of(events.part(0, N_FIRST), Settings().kind_weights()))
    ranks = [model.test_then_learn(events.part(N_WARM, N_FIRST), k=10)]
    model.blend.publish("history", ease.table())
    ranks.append(model.test_then_learn(events.part(N_FIRST, N_ALL), k=10))
    tested = np.concatenate(ranks)
    assert hit_rate == np.mean(tested[tested != UNTESTED] > 0)


def test_a_running_run_takes_the_table_though_no_event_comes_by(client, tmp_path: Path) -> None:
    with run_on(tmp_path, N_FIRST) as run:
        folder = refit(tmp_path, client, "item-knn", slot="own")
        until(lambda: bool(run.status().tables))
        [table] = run.status().tables
        assert (table.slot, table.version, table.live_from) == ("own", folder.name, N_FIRST)
        refit(tmp_path, client, "item-knn", slot="own")  # nothing new: nothing is published again
        assert len(controls(tmp_path)) == 1
    stored = latest_snapshot(tmp_path / "snapshots").arrays("items/nearline/own/")
    assert stored["size"].any()


@pytest.mark.parametrize("shards", [1, 2])
def test_vectors_come_with_rows_and_the_next_fit_goes_on(client, tmp_path: Path, shards: int) -> None:
    with run_on(tmp_path, N_FIRST, shards=shards):
        pass
    refit(tmp_path, client, "ials:n_factors=8")
    with run_on(tmp_path, N_ALL, shards=shards):
        pass
    folder = refit(tmp_path, client, "ials:n_factors=8")
    store = TableStore(tmp_path)
    found = store.find("history", folder.name)
    assert (found.about["how"], found.about["n_events"], found.about["model"]) == ("updated", N_ALL, "ials")
    assert (found.about["search"], found.about["recall"]) == ("exact", 1.0)
    anew = store.find("history", refit(tmp_path, client, "ials:n_factors=8", anew=True).name)
    assert anew.about["how"] == "fitted"
    if shards == 1:
        history = Interactions.of(numbered(), Settings().kind_weights())
        rows, vectors = store.read("history", folder.name, found.seal)
        model = make_nearline("ials", n_factors=8)
        first = Interactions.of(numbered().part(0, N_FIRST), Settings().kind_weights())
        model.fit(first)
        model.update(history, first.n_events)
        expected = nearest_rows(model.table(), Settings().row_length)
        for one, other in zip((*rows, *vectors), (*expected, *model.table()), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_cannot_be_fitted_is_said_and_nothing_is_published(client, tmp_path: Path, monkeypatch) -> None:
    with run_on(tmp_path, N_FIRST):
        pass
    for model, options, words in [
        ("easy", {}, "no fitted model 'easy'; did you mean 'ease'"),
        ("ease", {"slot": "owm"}, "no slot 'owm'; did you mean 'own'"),
    ]:
        with pytest.raises(InputError, match=words):
            refit(tmp_path, client, model, **options)
    with pytest.raises(InputError, match="name one model to fit with --model"):
        get_job("refit").run(JobRequest(tmp_path))
    with (
        TableStore(tmp_path).fitting("history"),
        pytest.raises(DeploymentError, match="another fit for this slot is at work"),
    ):
        refit(tmp_path, client, "ease")
    monkeypatch.setattr(EASE, "fit", lambda *_: 1 / 0)
    with pytest.raises(DeploymentError, match="fitting ease for 'history' failed: ZeroDivisionError"):
        refit(tmp_path, client, "ease")
    assert controls(tmp_path) == []
    assert TableStore(tmp_path).versions("history") == []


def test_a_deployment_without_an_event_has_nothing_to_fit(client, tmp_path: Path) -> None:
    Deployment(tmp_path / "home").create(
        {"shards": 1, "source": "made", "warmup_events": 0, "settings": Settings().model_dump()}
    )
    with pytest.raises(InputError, match="no event has been learned yet"):
        refit(tmp_path / "home", client, "ease")
