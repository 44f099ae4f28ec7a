"""What is kept of messages that cannot be events, and which of them come back."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rtrec.events.cleaning import Cleaner
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.kafka import reader
from rtrec.events.kafka.feed import KafkaFeed
from rtrec.events.kafka.source import KafkaSource
from rtrec.events.letters import DeadLetter
from rtrec.events.mapping import ColumnMapping
from rtrec.events.payloads import bytes_of
from rtrec.events.redriving import Redriven, redrive
from rtrec.events.schema import empty_events
from tests.kafka_cluster import Cluster

NOW = datetime(2024, 5, 1, 10, tzinfo=UTC)
MAPPING = ColumnMapping("user", "item", "at")
CLICK = {"user": "J\u00fcrgen", "item": "i", "at": NOW.isoformat()}
LATIN = json.dumps(CLICK, ensure_ascii=False).encode("latin-1")
LOOKS_ALIKE = LATIN.decode("utf-8", "backslashreplace").encode()


@pytest.fixture
def dead(kafka_cluster: Cluster) -> Callable[..., list[DeadLetter]]:
    """Return a function that sends messages that are no events, and returns the dead letters of them."""

    def read(*messages: Any, partitions: int = 1) -> list[DeadLetter]:
        address = kafka_cluster.new_topic()
        for number, message in enumerate(messages):
            kafka_cluster.send(address.topic, message, partition=number % partitions)
        clock = lambda: NOW + timedelta(hours=1)  # noqa: E731
        feed = KafkaFeed(KafkaSource(kafka_cluster.brokers(address), MAPPING, clock=clock), clock=clock)
        letters: list[DeadLetter] = []
        with closing(feed.start(0, sleep=lambda _: None)) as reading:
            while len(letters) < len(messages):
                letters += next(reading).dead_letters
        return [replace(each, source=each.source.replace(address.topic, "clicks")) for each in letters]

    return read


@pytest.fixture
def log(tmp_path: Path):
    log = EmbeddedLog(tmp_path / "log" / "events.sqlite", partitions=1, clock=lambda: NOW)
    yield log
    log.close()


def cleaner(**changes: str) -> Cleaner:
    """Return what a redrive reads rows with: the mapping as a deployment keeps it."""
    mapping = replace(MAPPING, event_id="rtrec: message", **changes)
    return Cleaner(mapping, source="", clock=lambda: NOW + timedelta(hours=1))


def users(log: EmbeddedLog) -> list[tuple[str, str]]:
    return [(row["event_id"], row["user_id"]) for row in log.read(0, 0).to_pylist()]


def test_a_message_up_to_the_bound_is_kept_whole(dead):
    for size in (5_060, 65_536):
        [letter] = dead(b"x" * size)
        assert (letter.payload, letter.kept) == ("x" * size, "line")


@pytest.mark.parametrize(
    ("message", "beginning", "size"),
    [
        (b"x" * 65_537, "x" * 2_000, "65,537 characters"),
        ("\u00fc".encode() * 65_537, "\u00fc" * 2_000, "65,537 characters"),
        (b"x" * 65_536 + b"\xff", "b'" + "x" * 1_998, "65,537 bytes"),
    ],
    ids=["text", "wide text", "bytes"],
)
def test_a_message_over_the_bound_is_cut_says_so_and_is_not_tried_again(dead, log, message, beginning, size):
    letters = dead(message)
    assert [(each.payload, each.kept) for each in letters] == [(f"{beginning}... ({size} in all)", "part")]
    log.append([empty_events()], dead_letters=letters)
    assert redrive(log, cleaner()) == Redriven(still_bad={"unparsable row": 1}, n_cut=1)


def test_bytes_that_are_no_text_are_told_from_the_text_that_spells_them(dead, log):
    raw = [b"\xff\xfe", rb"\xff\xfe", b"//4=", bytes(range(256))]
    log.append([empty_events()], dead_letters=dead(*raw))
    letters = log.dead_letters()
    assert [each.kept for each in letters] == ["bytes", "line", "line", "bytes"]
    back = [bytes_of(each.payload) if each.kept == "bytes" else each.payload.encode() for each in letters]
    assert back == raw


def test_a_message_in_another_encoding_comes_back_once_that_is_said(dead, log):
    log.append([empty_events()], dead_letters=dead(LATIN, LOOKS_ALIKE, b"\xff"))
    bad = {"unparsable row": 3}
    assert redrive(log, cleaner()) == Redriven(still_bad=bad)
    assert redrive(log, cleaner(), encoding="ascii") == Redriven(still_bad=bad)
    assert redrive(log, cleaner(), encoding="latin-1") == Redriven(
        n_events=1, still_bad={"unparsable row": 2}
    )
    assert users(log) == [("clicks:0:0", "J\u00fcrgen")]
    assert [each.row for each in log.dead_letters()] == [1, 2]


def test_a_large_message_that_our_reader_could_not_read_comes_back_once_it_can(dead, log, monkeypatch):
    monkeypatch.setattr(reader, "read_object", lambda text: None)
    letters = dead(CLICK | {"note": "x" * 50_000})
    monkeypatch.undo()
    log.append([empty_events()], dead_letters=letters)
    assert redrive(log, cleaner()) == Redriven(n_events=1)
    assert users(log) == [("clicks:0:0", "J\u00fcrgen")]


def test_a_key_that_was_not_read_is_kept_and_can_be_read_in_a_redrive(dead, log):
    log.append([empty_events()], dead_letters=dead({"visitor": "anna"} | CLICK | {"user": None}, {"item": 7}))
    assert redrive(log, cleaner()) == Redriven(still_bad={"missing user": 2})
    assert redrive(log, cleaner(user="visitor")) == Redriven(n_events=1, still_bad={"missing user": 1})
    assert users(log) == [("clicks:0:0", "anna")]


def test_a_message_may_have_keys_that_our_marks_are_called(dead):
    marks = {"rtrec: reason": "none", "rtrec: payload": "{}", "rtrec: kept": "all", "rtrec: message": 7}
    [letter] = dead(marks)
    assert (letter.reason, letter.kept) == ("missing user", "cells")
    assert json.loads(letter.payload).items() >= marks.items()


def test_of_a_message_that_is_too_large_to_keep_the_keys_that_are_read_are(dead):
    [letter] = dead(CLICK | {"user": None, "note": "x" * 70_000})
    assert letter.kept == "cells"
    assert CLICK.items() - json.loads(letter.payload).items() == {("user", CLICK["user"])}
    assert "note" not in letter.payload


@pytest.mark.parametrize(
    "payload", [LOOKS_ALIKE.decode(), "{" + "x" * 1_999 + "... (5,060 characters in all)"]
)
def test_what_was_kept_before_as_a_whole_line_and_was_none_is_not_taken_for_an_event(log, payload):
    log.append(
        [empty_events()], dead_letters=[DeadLetter("clicks:0", 7, "unparsable row", "", payload, "line")]
    )
    assert redrive(log, cleaner(), encoding="latin-1") == Redriven(still_bad={"unparsable row": 1})
    assert log.dead_letters()[0].payload == payload


@pytest.mark.parametrize("message", [{"user": "x" * 10_000_000}, b"x" * 10_000_000, b"\xff" * 10_000_000])
def test_messages_of_ten_megabytes_are_dead_letters_and_do_not_add_up_in_memory(dead, message):
    """The mock broker keeps 5 MB of a partition, or one message."""
    tracemalloc.start()
    letters = dead(*[message] * 4, partitions=4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(letters) == 4
    for each in letters:
        assert each.kept == "part"
        assert "(10,000,0" in each.payload
        assert len(each.payload) < 2_100
    assert peak < 100e6
