"""`rtrec run` with topics: to read from, to keep events in, and to write lists to."""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import closing

import pytest

from rtrec.engine.deployment import Deployment
from rtrec.events.kafka.log import KafkaLog
from rtrec.events.kafka.properties import ENVIRONMENT
from tests.cli.samples import COLUMNS, write_events

WORDS = ("--user", "user", "--item", "item", "--time", "at", "--headless", "--json")
SECRET = "hunter2-and-more"
LATIN = '{"user": "Jürgen", "item": "i1", "at": 1700000050}'.encode("latin-1")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "")  # what a command sets ends with its test


@pytest.fixture
def clicks(kafka_cluster):
    """Return a topic with a hundred events, a tombstone, and an event in Latin-1."""
    address = kafka_cluster.new_topic()
    rows = [{"user": f"u{n % 7}", "item": f"i{n % 5}", "at": 1_700_000_000 + n} for n in range(100)]
    kafka_cluster.send(address.topic, *rows[:50], None, LATIN, *rows[50:])
    return address


def test_from_a_topic_into_a_topic_with_lists_in_a_third(rtrec, kafka_cluster, clicks, in_threads, tmp_path):
    kept, lists = kafka_cluster.new_topic(), kafka_cluster.new_topic()
    path = tmp_path / "client.properties"
    path.write_text(f"sasl.password={SECRET}\nclient.id=test\n")  # nothing is asked of it here
    words = ("run", clicks, *WORDS, "--warmup", 10, "--kafka-config", path)

    first = rtrec(*words, "--limit", 30, "--log", kept, "--sink", lists)
    second = rtrec(*words, "--limit", 90)

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    one, other = (json.loads(each.stdout.splitlines()[-1]) for each in (first, second))
    assert (one["events"], other["events"], other["tested"]) == (40, 100, 90)
    assert (other["counts"], other["dead_letters"]) == (
        {"accepted": 100, "tombstone": 1, "unparsable row": 1}, 1,
    )  # fmt: skip
    assert one["delivery"] == {
        "sink": f"sink {lists.topic}", "delivered": 7, "dropped": 0, "waiting": 0, "problem": "",
    }  # fmt: skip
    assert {message.key() for message in kafka_cluster.messages(lists.topic)} == {
        f"u{n}".encode() for n in range(7)
    }
    home = tmp_path / ".rtrec" / clicks.topic
    deployment = Deployment(home)
    with closing(deployment.open_log(mode="read")) as log:
        assert isinstance(log, KafkaLog)
        ids = log.read(0, 0)["event_id"].to_pylist()
    offsets = [*range(50), *range(52, 102)]
    assert ids == [f"{clicks.topic}:0:{offset}" for offset in offsets]
    for file in (file for file in home.rglob("*") if file.is_file()):
        assert SECRET.encode() not in file.read_bytes(), file
    assert SECRET not in first.stdout + first.stderr + second.stdout + second.stderr

    facts = json.loads(rtrec("log", "info", "--home", home, "--json").stdout)
    assert (facts["topic"], facts["rows_read"], facts["topic_needed_from"]) == (
        str(kept),
        {"0": 102},
        {"0": 0},
    )
    [letter] = rtrec("log", "dead-letters", "--home", home, "--json").stdout.splitlines()
    letter = json.loads(letter)
    assert (letter["source"], letter["row"], letter["kept"]) == (f"{clicks.topic}:0", 51, "bytes")
    assert b64decode(letter["payload"]) == LATIN
    assert "J\\xfcrgen" in rtrec("log", "dead-letters", "--home", home).stdout
    result = rtrec("log", "redrive", "--home", home, "--encoding", "latin-2x")
    assert (result.exit_code, "encoding 'latin-2x' is unknown" in result.stderr) == (2, True)
    assert "still bad: 1" in rtrec("log", "redrive", "--home", home).stderr
    assert rtrec("log", "redrive", "--home", home, "--encoding", "latin-1").stderr == "redriven: 1\n"
    with closing(deployment.open_log(mode="read")) as log:
        assert log.read(0, 100).select(["event_id", "user_id"]).to_pylist() == [
            {"event_id": f"{clicks.topic}:0:51", "user_id": "Jürgen"}
        ]


def test_the_place_of_the_events_is_fixed(rtrec, kafka_cluster, tmp_path, in_threads):
    events = write_events(tmp_path / "events.csv")
    words = ("run", events, *COLUMNS, "--headless", "--json")
    assert rtrec(*words, "--limit", 10).exit_code == 0

    result = rtrec(*words, "--log", kafka_cluster.new_topic())

    assert result.exit_code == 1
    assert "made with its events in its own folder" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "kafka://localhost/clicks"), "expected kafka://host:port/topic"),
        (("run", "kafka://localhost:9092/clicks", "--encoding", "latin-1"), "messages are JSON"),
        (("evaluate", "kafka://localhost:9092/clicks"), "kafka://localhost:9092/clicks: a topic never ends"),
        (("run", "e.csv", "--log", "events"), "'events': expected kafka://host:port/topic"),
        (("run", "e.csv", "--sink", "kafka://lists"), "'kafka://lists': expected kafka://host:port/topic"),
        (("run", "e.csv", "--kafka-config", "nowhere.yaml"), "Kafka properties nowhere.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_made(rtrec, own_place, words, message):
    write_events(own_place / "e.csv")

    result = rtrec(*words, *COLUMNS[:6])

    assert result.exit_code == 2, result.stderr
    assert message in result.stderr
    assert not (own_place / ".rtrec").exists()
