"""The event log whose events are in Kafka: its journal stays in SQLite, history in Parquet.

Each partition of the log is the partition of the topic with the same number, so a user's events are in one.
An append writes its records to the topic, waits until all replicas have them, and then names their offsets in
the journal, in one transaction with the position of their source and its dead letters. So what the journal
names is the log, without a gap; a crash between the two leaves messages that nothing names, and the next
append goes behind them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from rtrec.clock import utc_now
from rtrec.errors import CorruptionError, DeploymentError
from rtrec.events import records
from rtrec.events.database import Mode, seal
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.topic import EventTopic
from rtrec.events.recorded_log import RecordedLog
from rtrec.events.records import Record, Row

#: Under what brokers take in one message unless told otherwise, with room for its headers.
_MOST_BYTES = 900_000
#: So much of what was appended last is read from memory.
_TAIL_BYTES = 32 << 20

_TOPIC_TABLE = """
CREATE TABLE topic (id INTEGER PRIMARY KEY, body TEXT NOT NULL, seal INTEGER NOT NULL);
"""


class KafkaLog(RecordedLog):
    """An :class:`~rtrec.events.log.EventLog` over a topic of Kafka.

    Parameters
    ----------
    path, partitions, clock, mode
        As of :class:`~rtrec.events.journaled_log.JournaledLog`. A log that is opened to be written looks for
        its topic at once; one that is only read asks no broker before events are read that are not compacted.
    brokers
        Where the topic is; a topic that does not exist is made with the log.
    """

    _TABLES = records.tables("INTEGER") + _TOPIC_TABLE
    _MOST_BYTES = _MOST_BYTES

    def __init__(
        self,
        path: Path,
        brokers: Brokers,
        *,
        partitions: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        mode: Mode = "write",
    ) -> None:
        self._tail = _Tail(_TAIL_BYTES)
        self._topic = EventTopic(brokers, uuid4().hex)  # unless there is a log that has an id already
        try:
            super().__init__(path, partitions=partitions, clock=clock, mode=mode)
            self._topic.log_id = self._read_id()
            if mode == "write":
                self._check_topic()
        except BaseException:
            self._topic.close()
            if hasattr(self, "_database"):
                super().close()
            raise

    def __repr__(self) -> str:
        return f"KafkaLog({str(self.path)!r}, {self.at!r})"

    @property
    def at(self) -> str:
        """Return where the topic is."""
        return str(self._topic.brokers.address)

    def close(self) -> None:
        """Close the file and all connections; the log cannot be used afterwards."""
        self._topic.close()
        super().close()

    def needed_from(self) -> dict[int, int]:
        """Return for each partition the first offset that retention has to keep, if there is any."""
        with self._database.reading() as connection:
            named = "SELECT partition, min(body) FROM records GROUP BY partition ORDER BY partition"
            return dict(connection.execute(named))

    def _keep(self, bodies: Sequence[tuple[int, bytes]]) -> list[int]:
        offsets = self._topic.write(bodies)
        for (partition, body), offset in zip(bodies, offsets, strict=True):
            self._tail.put((partition, offset), body)
        return offsets

    def _fetch(self, rows: Sequence[Row]) -> Iterator[Record]:
        bodies = {(row.partition, row.held): self._tail.get((row.partition, row.held)) for row in rows}
        for partition in sorted({row.partition for row in rows}):
            missing = [offset for (of, offset), body in bodies.items() if of == partition and body is None]
            if missing:
                found = self._topic.read(partition, missing)
                bodies |= {(partition, offset): body for offset, body in found.items()}
        for row in rows:
            body = bodies[row.partition, row.held]
            assert body is not None  # read() gives all that it is asked for
            yield Record.of(
                row, body, f"{self.path} (topic {self._topic.brokers.topic!r}, offset {row.held})"
            )

    def _create(self, connection: sqlite3.Connection, partitions: int) -> None:
        self._topic.require(partitions)
        body = json.dumps({"topic": self._topic.brokers.topic, "log": self._topic.log_id})
        connection.execute("INSERT INTO topic VALUES (0, ?, ?)", (body, seal(body)))

    def _read_id(self) -> str:
        """Return the id that messages of this log have; raise if it is another topic's log."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT body, seal FROM topic WHERE id = 0").fetchone()
        if row is None or seal(row[0]) != row[1]:
            raise CorruptionError(
                f"log {self.path}: what it says of its topic is missing or does not match its checksum; "
                "restore the file from a copy"
            )
        said = json.loads(row[0])
        if said["topic"] != self._topic.brokers.topic:
            raise DeploymentError(
                f"log {self.path}: made for topic {said['topic']!r}, got {self._topic.brokers.topic!r}; "
                "a log keeps its topic: name that one, or start afresh with --fresh"
            )
        return str(said["log"])

    def _check_topic(self) -> None:
        """Find out now, and not in the midst of a run, whether the topic has what the journal names."""
        self._topic.get_ready()
        self._topic.require(self.partitions)
        with self._database.reading() as connection:
            named = "SELECT partition, min(body), max(body) FROM records GROUP BY partition"
            bounds = connection.execute(named).fetchall()
        for partition, first, last in bounds:
            self._topic.require_offsets(partition, first, last)


class _Tail:
    """What was put in last, up to a size: the engine reads events right after they were appended."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bodies: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._n_bytes = 0
        self._lock = threading.Lock()

    def put(self, place: tuple[int, int], body: bytes) -> None:
        """Keep a body, and let go of the oldest if there is no room."""
        with self._lock:
            self._bodies[place] = body
            self._n_bytes += len(body)
            while self._n_bytes > self._most_bytes:
                _, oldest = self._bodies.popitem(last=False)
                self._n_bytes -= len(oldest)

    def get(self, place: tuple[int, int]) -> bytes | None:
        """Return a body that is still kept."""
        return self._bodies.get(place)
