"""A run whose events are in Kafka is the same run, whatever happens to it."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine.deployment import Deployment
from rtrec.errors import DeploymentError, InputError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.log import KafkaLog
from rtrec.events.kafka.properties import Properties
from rtrec.events.kafka.sink import KafkaSink
from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
from tests.engine.live_runs import N_WARM, assert_same, finished, start, state, until
from tests.engine.lives import N_WARM as N_WARM_KILLED
from tests.engine.lives import begin, kill, logged
from tests.engine.test_kill import figures
from tests.kafka_cluster import Cluster, own_broker


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the home and the summary of a run on the embedded log, without a sink."""
    home = tmp_path_factory.mktemp("undisturbed")
    with start(home) as run:
        return home, finished(run).summary()


def test_stopped_and_resumed_on_kafka_it_ends_as_on_the_embedded_log(
    tmp_path: Path, kafka_cluster: Cluster, undisturbed: tuple[Path, dict[str, Any]]
):
    embedded, expected = undisturbed
    address, home = str(kafka_cluster.new_topic()), tmp_path / "kafka"

    with start(home, limit=1700, log=address) as run:
        finished(run)
    with start(home) as run:  # where its events are, the deployment knows
        found = finished(run).summary()

    for name in ("events", "offset", "hr@10", "ndcg@10", "models"):
        assert found[name] == expected[name]
    assert_same(state(home), state(embedded))
    assert Deployment(home).manifest["log"] == address
    with closing(Deployment(home).open_log(mode="read")) as log:
        assert isinstance(log, KafkaLog)
        assert sum(log.ends()) == expected["offset"]
    with pytest.raises(
        DeploymentError, match=f"made with its events in {address}, asked for kafka://other:9092/t"
    ):
        start(home, log="kafka://other:9092/t")


def test_where_a_log_cannot_be_made_nothing_is_removed(tmp_path: Path, kafka_cluster: Cluster):
    with start(tmp_path, limit=100) as run:
        finished(run)
    before = Deployment(tmp_path).manifest

    with pytest.raises(DeploymentError, match="at least 5 partitions"):
        start(tmp_path, shards=5, fresh=True, log=str(kafka_cluster.new_topic()))
    with pytest.raises(InputError, match=r"'kafka:topic': expected kafka://host:port/topic"):
        start(tmp_path, fresh=True, log="kafka:topic")

    assert Deployment(tmp_path).manifest == before


def test_each_user_who_had_events_gets_a_list_in_the_sink(tmp_path: Path, kafka_cluster: Cluster):
    address = kafka_cluster.new_topic()
    with start(tmp_path, limit=500, shards=2) as run:  # without a sink
        finished(run)
    with start(tmp_path, limit=900, shards=2, sink=KafkaSink(kafka_cluster.brokers(address))) as run:
        finished(run)
        until(lambda: run.status().delivery.waiting == 0 and run.status().delivery.delivered > 0)
        answers = {user: run.recommend(user) for user in run.recent_users(3)}
    summary = run.summary()

    with closing(Deployment(tmp_path).open_log(mode="read")) as log:
        assert sum(log.ends()) == N_WARM + 900
        tails = [log.read(each, end - 20, end) for each, end in enumerate(log.ends())]
        noted = log.position("sink " + address.topic)
        assert noted == {str(each): end for each, end in enumerate(log.ends())}
    lists: dict[str, list[dict]] = {}
    for message in kafka_cluster.messages(address.topic):
        lists.setdefault(message.key().decode(), []).append(json.loads(message.value()))
    assert {user for tail in tails for user in tail["user_id"].to_pylist()} <= lists.keys()
    for mine in lists.values():
        offsets = [each["offset"] for each in mine]
        assert offsets == sorted(offsets)
        assert min(offsets) > N_WARM + 500, "there was no sink before"
    for user, answer in answers.items():
        last = lists[user][-1]
        assert [each["item_id"] for each in last["items"]] == [each.item_id for each in answer.items]
        if last["offset"] == answer.offset:
            scores = [each["score"] for each in last["items"]]
            assert scores == [None if each.score != each.score else each.score for each in answer.items]
    assert summary["delivery"]["delivered"] == sum(map(len, lists.values()))
    assert (summary["delivery"]["dropped"], summary["delivery"]["waiting"]) == (0, 0)


def test_a_sink_that_is_away_stops_nothing(tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]]):
    embedded, expected = undisturbed
    away = Brokers(KafkaAddress("127.0.0.1:1", "lists"), Properties({}), timeout_s=0.3)
    with start(tmp_path, sink=KafkaSink(away)) as run:
        found = finished(run).summary()
        until(lambda: "lists were not all written" in run.status().delivery.problem)

    assert found["models"] == expected["models"]
    assert_same(state(tmp_path), state(embedded))
    assert found["delivery"]["delivered"] == 0


def test_brokers_that_stand_still_are_waited_for_and_nothing_is_lost(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """Fails if an append that was not answered is dropped, or is in the log twice."""
    embedded, expected = undisturbed
    monkeypatch.setitem(Brokers.__init__.__kwdefaults__, "timeout_s", 1.0)
    with own_broker("events") as (broker, address), start(tmp_path, log=str(address), speed=None) as run:
        until(lambda: run.status().logged > N_WARM)
        broker.stand_still()
        until(lambda: any("Accepting events has to wait" in each.sentence for each in run.status().alarms))
        [alarm] = [each.sentence for each in run.status().alarms if each.kind == "storage"]
        assert "no answer within 1 s" in alarm or "timed out" in alarm.lower()
        assert "MB free" not in alarm  # it is not the disk
        broker.go_on()
        found = finished(run).summary()
        assert "goes on; nothing is lost" in run.status().alarms[-1].sentence

    for name in ("events", "offset", "hr@10", "ndcg@10", "models"):
        assert found[name] == expected[name]
    assert_same(state(tmp_path), state(embedded))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_between_topics_it_ends_as_if_undisturbed_on_the_embedded_log(
    tmp_path: Path, kafka_cluster: Cluster
) -> None:
    """Name offsets before the topic has them, read what nothing names, or lose a position: this fails."""
    summary, n_tested, source = tmp_path / "summary.json", 6000, kafka_cluster.new_topic()
    events = next(
        SyntheticStream(SyntheticConfig(n_users=300, n_items=200)).chunks(N_WARM_KILLED + n_tested, 0)
    )
    columns = ["user_id", "item_id", "timestamp"]
    rows = events.select(columns).to_pylist()
    # All in one partition: between several, the broker's answers would decide who comes first.
    kafka_cluster.send(source.topic, *(row | {"timestamp": row["timestamp"].isoformat()} for row in rows))
    undisturbed = begin(tmp_path / "undisturbed", n_tested, {}, summary, None, str(source))
    expected = figures(undisturbed, summary)
    summary.unlink()

    rng = np.random.default_rng(21)
    home, log = tmp_path / "killed", str(kafka_cluster.new_topic())
    for _ in range(3):
        before = logged(home)
        process = begin(home, n_tested, {}, summary, log, str(source))
        kill(process, home, before, after_s=float(rng.uniform(0.0, 0.12)))
        assert process.exitcode == -signal.SIGKILL, "the run was over before it was killed: make it longer"
    assert figures(begin(home, n_tested, {}, summary, log, str(source)), summary) == expected

    assert_same(state(home), state(tmp_path / "undisturbed"))
    with closing(Deployment(home).open_log(mode="read")) as found:
        ids = found.read(0, 0)["event_id"].to_pylist()
    assert ids == [f"{source.topic}:0:{offset}" for offset in range(events.num_rows)]
