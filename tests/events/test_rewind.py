"""The journal taken back: what is behind the point is void and kept for whoever asks; events stay."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtrec.errors import CorruptionError
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.log import Cut
from rtrec.events.synthetic import SyntheticStream

NOW = datetime(2024, 5, 1, tzinfo=UTC)
EVENTS = SyntheticStream().events(30)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.sqlite", partitions=1, clock=lambda: NOW)
    log.append([EVENTS], source="shop", position=30)
    for number in range(4):
        log.append_control({"number": number})
    for end, controls in ((5, 0), (10, 1), (20, 3)):
        log.cut((end,), controls)
    yield log
    log.close()


def test_what_is_behind_the_cut_is_void_and_events_stay(log: EmbeddedLog) -> None:
    assert log.rolled_back() == []
    undone = log.rewind(Cut(2, (10,), 1), "0002")
    assert log.cuts() == [Cut(1, (5,), 0), Cut(2, (10,), 1)]
    assert [each.body for each in log.controls()] == [{"number": 0}]
    assert (log.ends(), log.position("shop")) == ((30,), 30)
    assert (undone.time, undone.to, undone.seq, undone.n_controls) == (NOW, "0002", 2, 1)
    assert undone.cuts == (Cut(3, (20,), 3),)
    assert [(each.offset, each.body) for each in undone.controls] == [
        (1, {"number": 1}),
        (2, {"number": 2}),
        (3, {"number": 3}),
    ]
    assert log.rolled_back() == [undone]


def test_numbers_that_are_void_are_given_again(log: EmbeddedLog) -> None:
    log.rewind(Cut(2, (10,), 1), "0002")
    assert log.append_control({"number": "new"}).offset == 1
    assert log.cut((12,), 2) == Cut(3, (12,), 2)
    again = log.rewind(Cut(2, (10,), 1), "0002")
    assert [each.to for each in log.rolled_back()] == ["0002", "0002"]
    assert again.cuts == (Cut(3, (12,), 2),)


@pytest.mark.parametrize("cut", [Cut(4, (20,), 3), Cut(3, (20,), 5), Cut(-1, (0,), 0)])
def test_one_cannot_go_back_to_what_has_not_been(log: EmbeddedLog, cut: Cut) -> None:
    with pytest.raises(ValueError, match="it has 3 cuts and 4 controls; asked to go back to"):
        log.rewind(cut, "there")
    assert len(log.cuts()) == 3


def test_it_happens_as_a_whole_or_not(log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rtrec.events.journal.Head.store", killed)
    with pytest.raises(KeyboardInterrupt):
        log.rewind(Cut(1, (5,), 0), "0001")
    monkeypatch.undo()
    assert (len(log.cuts()), len(log.controls()), log.rolled_back()) == (3, 4, [])


def test_an_account_that_was_changed_is_noticed(log: EmbeddedLog) -> None:
    log.rewind(Cut(2, (10,), 1), "0002")
    connection = sqlite3.connect(log.path)
    connection.execute("UPDATE rolled_back SET body = replace(body, '0002', '0003')")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptionError, match=r"rolled back the 1\. time does not match its checksum"):
        log.rolled_back()


def test_a_damaged_tree_of_pages_is_noticed_when_the_log_is_opened(tmp_path: Path, log: EmbeddedLog) -> None:
    for start in range(0, 30, 3):
        log.append([EVENTS.slice(start, 3)])
    log.close()
    connection = sqlite3.connect(log.path)
    [(page,)] = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_records_1'"
    )
    connection.close()
    content = bytearray(log.path.read_bytes())
    content[page * 4096 - 1] ^= 4  # the index ends with the first entry that was put there
    log.path.write_bytes(bytes(content))
    with pytest.raises(CorruptionError, match=re.escape(f"log {log.path}: damaged: ")):
        EmbeddedLog(log.path)
