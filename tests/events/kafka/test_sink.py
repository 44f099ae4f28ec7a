"""Lists in a topic."""

from __future__ import annotations

import json

import pytest

from rtrec.errors import DeploymentError
from rtrec.events.kafka.address import KafkaAddress
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.properties import Properties
from rtrec.events.kafka.sink import KafkaSink

LISTS = [
    {"user_id": "anna", "offset": 7, "items": [{"item_id": "i1", "score": 0.5}]},
    {"user_id": "böb", "offset": 7, "items": []},
]


def test_a_list_is_a_json_message_keyed_by_its_user(kafka_cluster):
    address = kafka_cluster.new_topic()
    sink = KafkaSink(kafka_cluster.brokers(address))

    sink.deliver(LISTS)
    sink.deliver([LISTS[0] | {"offset": 8}])
    sink.close()

    found = {}
    for message in kafka_cluster.messages(address.topic):
        found.setdefault((message.key().decode(), message.partition()), []).append(
            json.loads(message.value())
        )
    [annas, bobs] = [[each for (user, _), each in found.items() if user == name] for name in ("anna", "böb")]
    assert annas == [[LISTS[0], LISTS[0] | {"offset": 8}]], "a user's lists are in one partition, in order"
    assert bobs == [[LISTS[1]]]


def test_brokers_that_are_away_are_named(kafka_cluster):
    sink = KafkaSink(Brokers(KafkaAddress("127.0.0.1:1", "lists"), Properties({}), timeout_s=0.5))

    with pytest.raises(DeploymentError, match=r"kafka://127\.0\.0\.1:1/lists: lists were not all written"):
        sink.deliver(LISTS)
