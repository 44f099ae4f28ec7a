"""Try dead letters again, after something was mended: the program, or what it is told of their columns.

A letter that is an event now is appended to the log and marked in the same transaction, so it is taken once,
whoever asks how often and whatever is killed in between. One that is still none gets its new reason. Both may
happen while a run is live.
"""

from __future__ import annotations

from codecs import IncrementalDecoder
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from rtrec.events.cleaning import DEDUP_WINDOW, Cleaner
from rtrec.events.kafka.source import MESSAGE
from rtrec.events.log import EventLog, Refusal, StoredDeadLetter
from rtrec.events.mapping import require_columns
from rtrec.events.payloads import bytes_of
from rtrec.events.rawrows import ROW, read_object
from rtrec.events.schema import EVENT_SCHEMA, shard_of
from rtrec.events.textfile import text_decoder
from rtrec.events.verdicts import ACCEPTED
from rtrec.types import Columns

#: Letters that go in one transaction: the run beside waits for it about as long as for one of its own.
BATCH = 2000
_LAST_ID = 2**62


@dataclass
class Redriven:
    """What became of the letters that were tried.

    Attributes
    ----------
    n_events
        How many are events now.
    left_out
        How many are sound, but not to be learned, by reason: their id came meanwhile, or their value lies
        below the least one. They do not wait any more either.
    still_bad
        How many wait as before, by reason.
    n_cut
        How many of those were not tried, since only a part of their row was kept.
    """

    n_events: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    still_bad: Counter[str] = field(default_factory=Counter)
    n_cut: int = 0


def redrive(
    log: EventLog,
    cleaner: Cleaner,
    *,
    reason: str | None = None,
    ids: tuple[int, int] | None = None,
    edited: Mapping[int, Mapping[str, Any]] | None = None,
    encoding: str = "utf-8",
    dry_run: bool = False,
    batch: int = BATCH,
) -> Redriven:
    """Try all dead letters that wait, or those of one reason, or with ids from one to another.

    Parameters
    ----------
    log
        Opened to write, or to join a run that does.
    cleaner
        Knows which column means what, as it should be; a lateness that it does not bound takes late events.
    edited
        By id of a letter, its row as it should have been, column by column: only these are tried.
    encoding
        Of rows that were kept as bytes, since they are no UTF-8.
    dry_run
        Only say what would happen.
    batch
        Letters that go in one transaction.

    Raises
    ------
    InputError
        If there is no such encoding, or no row has a column of the mapping.
    """
    outcome, after = Redriven(), -1
    decoder = text_decoder(encoding)
    if cleaner.mapping.event_id is not None:
        cleaner.remember(log.recent_event_ids(DEDUP_WINDOW))
    while letters := log.dead_letters(limit=batch, reason=reason, ids=ids or (0, _LAST_ID), after=after):
        after = letters[-1].id
        if edited is not None:
            letters = [each for each in letters if each.id in edited]
            rows: dict[int, Mapping[str, Any] | None] = {each.id: edited[each.id] for each in letters}
        else:
            rows = {each.id: _cells(each, decoder) for each in letters}
        whole = [each for each in letters if rows[each.id] is not None]
        others = [each for each in letters if rows[each.id] is None]
        refused: dict[int, Refusal] = {}
        tables = [EVENT_SCHEMA.empty_table()]
        for group in _groups(whole):
            before = Counter(cleaner.counts)
            cleaned = _clean(cleaner, group, rows)
            became = Counter(cleaner.counts) - before
            refused |= cleaned.refused
            tables.append(cleaned.events)
            for each in cleaned.refused.values():
                del became[each.reason]
            del became[ACCEPTED]
            outcome.left_out += became
        outcome.still_bad += Counter(each.reason for each in refused.values())
        outcome.still_bad += Counter(each.reason for each in others)
        outcome.n_cut += sum(each.kept == "part" for each in others)
        events = pa.concat_tables(tables)
        outcome.n_events += events.num_rows
        if not dry_run and whole:
            settled = [each.id for each in whole if each.id not in refused]
            log.redrive(_parts(events, log.partitions), settled, refused)
    return outcome


class _Cleaned(NamedTuple):
    events: pa.Table
    refused: dict[int, Refusal]  # by id of the letter


def _cells(letter: StoredDeadLetter, decoder: IncrementalDecoder) -> Mapping[str, Any] | None:
    """Return a letter's row column by column; None if it still cannot be read, or not all of it is there."""
    if letter.kept == "part":
        return None
    if letter.kept != "bytes":
        return read_object(letter.payload)
    decoder.reset()
    try:
        return read_object(decoder.decode(bytes_of(letter.payload), True))
    except UnicodeError:
        return None


def _groups(letters: Sequence[StoredDeadLetter]) -> list[list[StoredDeadLetter]]:
    """Return letters in groups of one source, in which no row stands twice."""
    groups: dict[tuple[str, int], list[StoredDeadLetter]] = {}
    seen: Counter[tuple[str, int]] = Counter()
    for each in letters:
        groups.setdefault((each.source, seen[each.source, each.row]), []).append(each)
        seen[each.source, each.row] += 1
    return list(groups.values())


def _clean(
    cleaner: Cleaner, letters: Sequence[StoredDeadLetter], rows: Mapping[int, Mapping[str, Any] | None]
) -> _Cleaned:
    cleaner.source = letters[0].source
    records = [rows[each.id] or {} for each in letters]
    if cleaner.mapping.event_id == MESSAGE:  # it is no part of what a message says
        places = [f"{each.source}:{each.row}" for each in letters]
        records = [{**cells, MESSAGE: place} for cells, place in zip(records, places, strict=True)]
    names = list(dict.fromkeys(name for record in records for name in record))
    require_columns(cleaner.columns, names, where="the rows of dead letters")
    frame = pd.DataFrame(
        {name: pd.Series([record.get(name) for record in records], dtype=object) for name in names}
    )
    frame.index = pd.Index([each.row for each in letters], name=ROW)
    batch = cleaner.clean(frame, 1)
    id_of = {each.row: each.id for each in letters}
    refused = {id_of[each.row]: Refusal(each.reason, each.column, each.detail) for each in batch.dead_letters}
    return _Cleaned(batch.events, refused)


def _parts(events: pa.Table, n_partitions: int) -> list[pa.Table]:
    if n_partitions == 1:
        return [events]
    shards = shard_of(events[Columns.USER_ID], n_partitions)
    return [events.filter(pa.array(shards == shard)) for shard in range(n_partitions)]
