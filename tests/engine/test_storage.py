"""A disk that is full or in trouble holds the stream up; what was accepted stays, and nothing comes twice."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtrec.engine import storage
from rtrec.engine.live import LiveRun
from rtrec.engine.shard import Shard
from rtrec.engine.status import Phase
from rtrec.engine.storage import Storage
from rtrec.errors import CorruptionError, StorageUnavailable
from rtrec.events.database import Database
from rtrec.events.feeds import Fed, SyntheticFeed
from rtrec.models import snapshot as snapshots
from rtrec.models.snapshot import list_snapshots
from tests.engine.live_runs import assert_same, feed, finished, start, state, until
from tests.needs import missing

pytestmark = pytest.mark.faults
NOW = datetime(2024, 5, 1, tzinfo=UTC)


class Sleeps:
    """Time that passes at once, and is written down; ``enough`` says after how many nobody waits any more."""

    def __init__(self, enough: int = 10_000) -> None:
        self.seconds: list[float] = []
        self._enough = enough

    async def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self._enough


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [times]

    def call() -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return "stored"

    return call


def kept_trying(disk: Storage, call: Callable[[], str]) -> str:
    return asyncio.run(disk.keep_trying("Accepting events", call))


def test_it_is_tried_again_with_growing_pauses_and_said_so(tmp_path: Path) -> None:
    sleeps = Sleeps()
    disk = Storage(tmp_path, n_events=lambda: 7, sleep=sleeps, clock=lambda: NOW)
    told = []

    def call() -> str:
        told.append([each.sentence for each in disk.notices])
        return again()

    again = failing(9, StorageUnavailable("the disk is full"))
    assert kept_trying(disk, call) == "stored"
    assert sleeps.seconds == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    [waiting] = told[-1]
    assert waiting.startswith("Accepting events has to wait: the disk is full. There are ")
    assert f"MB free at {tmp_path}; with 16 MB it goes on" in waiting
    [over] = disk.notices
    assert (over.offset, over.time, over.kind) == (7, NOW, "storage")
    assert over.sentence == "Accepting events had to wait for about 33 s, and goes on; nothing is lost"


def test_patience_ends(tmp_path: Path) -> None:
    sleeps = Sleeps()
    with pytest.raises(StorageUnavailable, match="full"):
        kept_trying(Storage(tmp_path, sleep=sleeps), failing(10**6, StorageUnavailable("full")))
    assert storage.MOST_PATIENCE_S <= sum(sleeps.seconds) <= storage.MOST_PATIENCE_S + 10.0
    with pytest.raises(StorageUnavailable, match="full"):  # somebody asked for the end
        kept_trying(Storage(tmp_path, sleep=Sleeps(enough=2)), failing(3, StorageUnavailable("full")))


def test_what_is_damaged_is_not_tried_again(tmp_path: Path) -> None:
    sleeps = Sleeps()
    with pytest.raises(CorruptionError):
        kept_trying(Storage(tmp_path, sleep=sleeps), failing(1, CorruptionError("damaged")))
    assert sleeps.seconds == []


# ------------------------------------------------------------------------------------- runs on such a disk


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(storage, "LONGEST_PAUSE_S", 0.05)


def sqlite_error(code: int, words: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


FULL = sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
IN_TROUBLE = sqlite_error(sqlite3.SQLITE_IOERR | (4 << 8), "disk I/O error")  # SQLITE_IOERR_FSYNC


class Trouble:
    """Two in three transactions that write fail, before or behind what they store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, *, stored: bool) -> None:
        self.n_failed = 0
        self._n_calls = 0
        writing = Database.writing
        trouble = self

        @contextmanager
        def failing(database: Database) -> Iterator[sqlite3.Connection]:
            fails = trouble.is_due()
            with database._named_errors():
                if fails and not stored:
                    raise error
                with writing(database) as connection:
                    yield connection
                if fails:
                    raise error

        monkeypatch.setattr(Database, "writing", failing)

    def is_due(self) -> bool:
        self._n_calls += 1
        fails = self._n_calls % 3 != 0
        self.n_failed += fails
        return fails


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("error", [FULL, IN_TROUBLE], ids=["full", "in trouble"])
@pytest.mark.parametrize("stored", [False, True], ids=["before", "behind"])
def test_a_log_that_fails_now_and_then_ends_as_if_undisturbed(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch, impatient: None, error: Exception, stored: bool
) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    trouble = Trouble(monkeypatch, error, stored=stored)
    with start(tmp_path, batch_events=170) as run:
        finished(run)
        assert any(each.kind == "storage" for each in run.status().alarms)
        assert run.summary()["hr@10"] == undisturbed.summary()["hr@10"]
    monkeypatch.undo()
    assert trouble.n_failed > 5
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_snapshot_that_cannot_be_written_is_an_alarm_and_the_next_one_comes(
    tmp_path: Path, undisturbed: LiveRun, monkeypatch, code: int
) -> None:
    written, write = [], snapshots._write_array

    def failing(path: Path, array: np.ndarray) -> dict[str, Any]:
        name = path.relative_to(tmp_path / "snapshots").parts[0]
        if name not in written:
            written.append(name)
        if len(written) in (2, 3) and "users" in path.parts:
            raise OSError(code, os.strerror(code), str(path))
        return write(path, array)

    monkeypatch.setattr(snapshots, "_write_array", failing)
    with start(tmp_path, snapshot_every=700) as run:
        finished(run)
        alarms = [each.sentence for each in run.status().alarms if each.kind == "storage"]
    assert len(alarms) == 2
    assert "A snapshot was not written" in alarms[0]
    assert os.strerror(code) in alarms[0]
    assert "MB free" in alarms[0]
    kept = [path.name for path in list_snapshots(tmp_path / "snapshots")]
    assert kept == [f"{int(name.removeprefix('.unfinished-')):012d}" for name in (written[0], *written[3:])]
    assert not list((tmp_path / "snapshots").glob(".*"))
    assert_same(state(undisturbed.deployment.home), state(tmp_path))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_numbers_that_are_none_are_never_written_down(tmp_path: Path, monkeypatch) -> None:
    with start(tmp_path, limit=100) as run:
        finished(run)
    [good] = list_snapshots(tmp_path / "snapshots")
    arrays = Shard.arrays

    def spoilt(*arguments: Any, **options: Any) -> dict[str, np.ndarray]:
        found = arrays(*arguments, **options)
        found["items/near_weight"][3, 5] = np.inf
        return found

    monkeypatch.setattr(Shard, "arrays", spoilt)
    with start(tmp_path, limit=400, snapshot_every=100) as run:
        assert finished(run).status().phase is Phase.FINISHED
        assert run.summary()["tested"] == 400
        [*_, alarm] = [each.sentence for each in run.status().alarms if each.kind == "storage"]
    assert "1 of" in alarm
    assert "'items/near_weight' are not finite; the first is inf at [3, 5]" in alarm
    assert list_snapshots(tmp_path / "snapshots") == [good]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_stop_while_the_disk_is_full_is_a_stop(tmp_path: Path, monkeypatch, impatient: None) -> None:
    with start(tmp_path, limit=10) as run:
        finished(run)
    trouble = Trouble(monkeypatch, FULL, stored=False)
    monkeypatch.setattr(trouble, "is_due", lambda: True)
    with start(tmp_path) as run:
        until(lambda: any(each.kind == "storage" for each in run.status().alarms))
        with pytest.raises(StorageUnavailable, match="disk is full"):
            run.apply({"ring_length": 3})  # not accepted, and whoever asked is told
    assert run.status().phase is Phase.STOPPED
    assert run.error is None
    monkeypatch.undo()
    with start(tmp_path) as run:
        assert finished(run).summary()["tested"] == 3000


class GatedFeed(SyntheticFeed):
    """The stream of the other runs; what comes behind so many events waits until somebody opens."""

    def __init__(self, gate: int) -> None:
        super().__init__(feed().stream)
        self.open = threading.Event()
        self._gate = gate

    def start(self, position: int, **options: Any) -> Iterator[Fed]:
        for fed in super().start(position, **options):
            if fed.position > self._gate:
                self.open.wait(60)
            yield fed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 24 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if shutil.which("mount") is None or os.geteuid() != 0:
        missing("a disk of its own takes root: only it may mount one")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no disk of its own here: {done.stderr.strip()} (a container may need --cap-add SYS_ADMIN)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    """Take all the room there is."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_on_a_full_disk_nothing_is_accepted_until_there_is_room_again(
    small_disk: Path, undisturbed: LiveRun, impatient: None
) -> None:
    home, filler, gated = small_disk / "home", small_disk / "filler", GatedFeed(2000)
    with start(home, feed=gated, snapshot_every=500) as run:
        until(lambda: run.status().events == 2000)
        fill(filler)
        gated.open.set()
        until(lambda: any("has to wait" in each.sentence for each in run.status().alarms))
        [alarm] = [each.sentence for each in run.status().alarms if "has to wait" in each.sentence]
        assert "disk is full" in alarm
        assert f"MB free at {home}; with " in alarm
        accepted = run.status().logged
        assert accepted < 4000
        assert run.recommend(run.recent_users(1)[0]).items  # answers go on
        filler.unlink()
        finished(run)
        assert run.status().logged == 4000
        assert not any("has to wait" in each.sentence for each in run.status().alarms)
        assert run.summary()["hr@10"] == undisturbed.summary()["hr@10"]
    assert_same(state(undisturbed.deployment.home), state(home))
