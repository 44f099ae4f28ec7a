"""A run and the deployment it lives in: what is refused, and that nothing is lost by it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rtrec.engine.deployment import FORMAT_VERSION
from rtrec.engine.live import LiveRun
from rtrec.engine.status import Phase
from rtrec.errors import CorruptionError, DeploymentError, InputError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.feeds import FileFeed, SyntheticFeed
from rtrec.events.mapping import ColumnMapping
from rtrec.events.sources import FileSource
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from rtrec.models.snapshot import list_snapshots
from tests.engine.live_runs import assert_same, feed, finished, start, state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_second_run_on_the_same_home_is_refused(undisturbed: LiveRun) -> None:
    with pytest.raises(DeploymentError, match="another run is active"):
        start(undisturbed.deployment.home)


def test_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(DeploymentError, match="made with 1 shards, asked for 2"):
        start(tmp_path, shards=2)


def test_a_log_that_cannot_be_opened_lets_go_of_the_deployment(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    log = tmp_path / "log" / "events.sqlite"
    whole = log.read_bytes()
    log.write_bytes(b"no log" + whole[6:])
    with pytest.raises(CorruptionError), start(tmp_path, limit=10) as run:
        run.result(60)
    log.write_bytes(whole)
    with start(tmp_path, limit=20) as run:
        assert finished(run).summary()["tested"] == 20


def test_a_deployment_that_was_only_half_made_is_made_anew(tmp_path: Path) -> None:
    EmbeddedLog(tmp_path / "log" / "events.sqlite", partitions=3).close()  # and then the power went
    with start(tmp_path, limit=10) as run:
        assert finished(run).summary()["tested"] == 10


def test_looking_at_a_deployment_shows_its_titles_counts_and_last_users(tmp_path: Path) -> None:
    titles = feed().stream.item_titles()
    with start(tmp_path, limit=10, titles=titles) as run:
        users, counts = finished(run).recent_users(), run.summary()["counts"]
    with start(tmp_path, feed=None) as run:
        finished(run)
        assert run.recent_users() == users
        assert run.summary()["counts"] == counts
        assert run.recommend(users[0]).items[0].title in titles.values()


def test_a_log_without_its_manifest_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    (tmp_path / "deployment.json").unlink()
    with pytest.raises(DeploymentError, match=r"a log with 1,010 events, but no deployment\.json"):
        start(tmp_path, limit=10)
    with start(tmp_path, limit=20, fresh=True) as run:
        assert finished(run).summary()["tested"] == 20


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda text: text.replace('"warmup_events": 1000', '"warmup_events": 7'),
            CorruptionError,
            "checksum",
        ),
        (lambda text: text[:-20], CorruptionError, "cannot be read"),
        (lambda _: "[1, 2]", DeploymentError, f"expected format {FORMAT_VERSION}, got None"),
    ],
    ids=["edited", "cut", "a list"],
)
def test_a_manifest_that_is_not_what_was_written_is_refused(tmp_path: Path, spoil, error, words) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    manifest = tmp_path / "deployment.json"
    manifest.write_text(spoil(manifest.read_text()))
    with pytest.raises(error, match=words):
        start(tmp_path, limit=10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0}, "limit is a whole number from 1 on; got 0"),
        ({"batch_events": 0}, "batch_events is a whole number"),
        ({"shards": 1.5}, "shards is a whole number from 1 on; got 1.5"),
        ({"speed": -1.0}, "speed is above zero"),
        ({"speed": float("nan")}, "speed is above zero"),
        ({"warmup": -1}, "warmup is a share"),
        ({"warmup": float("nan")}, "warmup is a share"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_at_once(tmp_path: Path, options, words) -> None:
    with pytest.raises(InputError, match=words):
        start(tmp_path / "home", **options)
    assert not (tmp_path / "home" / "deployment.json").exists()


def test_what_is_no_feed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected a FileFeed"):
        start(tmp_path / "home", feed="events.csv")
    with pytest.raises(DeploymentError, match="no deployment here"):
        start(tmp_path / "home", feed=None)
    assert not (tmp_path / "home").exists()


def test_to_start_afresh_without_a_source_removes_nothing(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(InputError, match="say what to read"):
        start(tmp_path, feed=None, fresh=True)
    with start(tmp_path, feed=None) as run:
        assert finished(run).summary()["tested"] == 10


def test_categories_that_are_none_are_refused_and_nothing_is_removed(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(InputError, match="categories of item 'a': expected a name or several"):
        start(tmp_path, fresh=True, categories={"a": None})
    with start(tmp_path, feed=None) as run:
        assert finished(run).summary()["tested"] == 10


def test_a_feed_that_is_another_is_refused(tmp_path: Path) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    with pytest.raises(DeploymentError, match="its n_items was 200, now 201"):
        start(tmp_path, feed=SyntheticFeed(SyntheticStream(SyntheticConfig(n_users=300, n_items=201))))


def test_folders_beside_the_snapshots_are_none_and_left_alone(tmp_path: Path) -> None:
    snapshots = tmp_path / "snapshots"
    with start(tmp_path, limit=200) as run:
        finished(run)
    [only] = list_snapshots(snapshots)
    others = {f"{only.name}-copy", "99-later", "backup"}
    for name in others:
        shutil.copytree(only, snapshots / name)
    with start(tmp_path, snapshot_every=300) as run:  # some are deleted meanwhile, so the log is compacted
        assert finished(run).status().phase is Phase.FINISHED
    assert not only.exists()
    assert others < {path.name for path in snapshots.iterdir()}


def test_a_file_that_grows_twice_ends_as_if_it_had_been_whole(tmp_path: Path) -> None:
    events = feed().stream.events(900).to_pandas()
    mapping = ColumnMapping("user_id", "item_id", "timestamp", kind="kind", value="value")

    def run_on(home: str, n_rows: int) -> None:
        path = tmp_path / home / "log.csv"
        path.parent.mkdir(exist_ok=True)
        events[:n_rows].to_csv(path, index=False)
        source = FileFeed(FileSource(path, mapping, sort=True))
        with start(tmp_path / home / "home", feed=source, warmup=100, limit=None) as run:
            assert finished(run).summary()["offset"] == n_rows

    run_on("whole", 900)
    for n_rows in (300, 600, 900):
        run_on("grown", n_rows)
    assert_same(state(tmp_path / "grown" / "home"), state(tmp_path / "whole" / "home"))
