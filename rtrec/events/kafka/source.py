"""A topic that applications write events to: JSON messages as raw rows, from any offset on.

All partitions are read by assignment, so two runs on one topic do not disturb each other, and partitions
that are added are taken up. The place of each row is a partition and an offset; the log keeps how far each
partition was read together with the events.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from rtrec.clock import utc_now
from rtrec.events.kafka.brokers import Brokers
from rtrec.events.kafka.reader import Message, TopicReader
from rtrec.events.log import Position
from rtrec.events.mapping import ColumnMapping
from rtrec.events.parsing import RawColumn
from rtrec.events.rawrows import unreadable_columns
from rtrec.events.rules import Rule
from rtrec.types import Floats

#: The column that names a message: ``topic:partition:offset``.
MESSAGE = "rtrec: message"
_EMPTY = "rtrec: empty"
#: A message without a value, by which a compacted topic says that its key is gone; it is no event.
TOMBSTONE = Rule("tombstone", (_EMPTY,), lambda frame: frame[_EMPTY])

#: How long messages wait at most for a partition that is behind, and between looks for new partitions.
_HOLD_S, _LOOK_S = 1.0, 10.0


@dataclass(frozen=True)
class MessageChunk:
    """Some messages as rows; see :class:`rtrec.events.sources.RawChunk`.

    ``before`` is how far each partition was read before the first of them. Rows are numbered by their place
    here, from 0.
    """

    messages: Sequence[Message]
    frame: pd.DataFrame
    mapping: ColumnMapping
    before: Mapping[str, int]
    first_row: int = 0

    @property
    def position(self) -> dict[str, int]:
        """Return how far each partition is read once this chunk is done."""
        return {**self.before, **{str(each.partition): each.offset + 1 for each in self.messages}}

    def times(self) -> Floats:
        """Return event times in seconds since 1970 UTC, NaN where unreadable, shape ``(row,)``."""
        return RawColumn(self.frame[self.mapping.time]).microseconds(self.mapping) / 1e6

    def row(self, place: int) -> dict[str, Any]:
        """Return all that a message says, not only what the mapping names."""
        named = dict.fromkeys(name for name in self.mapping.columns if name != MESSAGE)
        return named | dict(self.messages[place].record or {})

    def part(self, start: int, stop: int) -> MessageChunk:
        """Return rows ``start`` to ``stop - 1`` of this chunk as a chunk."""
        before = replace(self, messages=self.messages[:start]).position
        return replace(
            self, messages=self.messages[start:stop], frame=self.frame.iloc[start:stop], before=before
        )


class KafkaSource:
    """The messages of a topic.

    Parameters
    ----------
    brokers
        Where the topic is.
    mapping
        Which key of a message means what. Without one for event ids they are ``topic:partition:offset``; with
        one, an event that its producer sent twice is recognised.
    chunk_rows
        Rows in a chunk.
    clock
        Returns the present: a time beyond it says nothing about the order of messages.
    look_every_s
        How often new partitions are looked for.

    Attributes
    ----------
    name : str
        The topic.
    n_rows : None
        Nobody knows.
    """

    n_rows = None
    rules = (TOMBSTONE,)

    def __init__(
        self,
        brokers: Brokers,
        mapping: ColumnMapping,
        *,
        chunk_rows: int = 2000,
        clock: Callable[[], datetime] = utc_now,
        look_every_s: float = _LOOK_S,
    ) -> None:
        self.name = brokers.topic
        self.has_ids = mapping.event_id is not None
        self.mapping = mapping if self.has_ids else replace(mapping, event_id=MESSAGE)
        self._brokers = brokers
        self._chunk_rows = chunk_rows
        self._clock = clock
        self._look_every_s = look_every_s
        self._reading: tuple[TopicReader, Mapping[str, int]] | None = None

    def identity(self) -> dict[str, Any]:
        """Return what tells this source from any other: the topic, and how it is read."""
        identity = {"topic": self.name, "columns": asdict(self.mapping)}
        return json.loads(json.dumps(identity))

    def difference(self, identity: Mapping[str, Any], position: Any) -> str | None:
        """Return why offsets of ``identity`` mean nothing here, or events would be others; None if not so."""
        mine = self.identity()
        for name in ("topic", "columns"):
            if mine[name] != identity.get(name):
                return f"its {name} was {identity.get(name)!r}, now {mine[name]!r}"
        return None

    def chunks(
        self, position: Position = 0, *, sleep: Callable[[float], object] = lambda _: None
    ) -> Iterator[MessageChunk]:
        """Yield messages from ``position`` on, as they come; ``sleep`` ends it by returning true.

        Raises
        ------
        InputError
            If there is no such topic.
        DeploymentError
            If no broker answers at the start, the topic may not be read, or it is not what it was.
        """
        done = {} if isinstance(position, int) else dict(position)
        reading = TopicReader(self._brokers, self.mapping, self._clock, done)
        self._reading = reading, done
        try:
            reading.look_for_partitions()
            looked = taken = time.monotonic()
            while True:
                reading.poll(self._chunk_rows)
                now = time.monotonic()
                messages = reading.take(all_that_wait=now - taken > _HOLD_S)
                reading.resume()
                for start in range(0, len(messages), self._chunk_rows):
                    chunk = self._chunk(messages[start : start + self._chunk_rows], done)
                    yield chunk
                    done = chunk.position
                    self._reading = reading, done
                if messages or not reading.holds:
                    taken = time.monotonic()
                if not messages and sleep(0):
                    return
                if now - looked > self._look_every_s:
                    reading.look_for_partitions(patient=False)
                    looked = now
        finally:
            self._reading = None
            reading.close()

    def n_unread(self) -> int | None:
        """Return how many messages nobody has taken yet; None while nobody reads, or where no broker says."""
        at = self._reading
        if at is None:
            return None
        reading, done = at
        return reading.n_unread(done)

    def _chunk(self, messages: Sequence[Message], before: Mapping[str, int]) -> MessageChunk:
        records = [each.record or {} for each in messages]
        columns = {
            name: pd.Series([record.get(name) for record in records], dtype=object)
            for name in self.mapping.columns
        }
        if not self.has_ids:
            ids = [f"{self.name}:{each.partition}:{each.offset}" for each in messages]
            columns[MESSAGE] = pd.Series(ids, dtype=object)
        columns[_EMPTY] = pd.Series([each.record is None and each.fault is None for each in messages])
        if any(each.fault is not None for each in messages):
            columns |= unreadable_columns([each.fault for each in messages])
        return MessageChunk(messages, pd.DataFrame(columns), self.mapping, before)
